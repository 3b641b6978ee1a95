"""The model server with a clock at its engine: `python -m bench.rig.timed_server OPTIONS...`.

For each answer it adds a JSON line to the file that `NOD_BENCH_TIMES` names: when its first token
came to the HTTP layer (`engine_ms`), and after how long llama.cpp says that it had it (`llama_ms`).
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from modelserver.__main__ import main
from modelserver.catalog import Model
from modelserver.engine import Chunk, Emit, Kind, llama

TIMES = "NOD_BENCH_TIMES"


class _TimedEngine(llama.LlamaEngine):
    def generate(self, kind: Kind, model: Model, request: dict[str, Any], emit: Emit) -> None:
        started_at = time.perf_counter()
        times: dict[str, float] = {}

        def take(chunk: Chunk) -> bool:
            if has_text(chunk):
                times.setdefault("engine_ms", (time.perf_counter() - started_at) * 1000)
            if counted := chunk.get("timings"):
                times["llama_ms"] = counted["prompt_ms"]
            return emit(chunk)

        super().generate(kind, model, request, take)
        with Path(os.environ[TIMES]).open("a") as file:
            file.write(json.dumps(times) + "\n")


def has_text(chunk: Chunk) -> bool:
    """The chunk before the first token only says whose turn it is."""
    return any(choice["delta"].get("content") for choice in chunk["choices"])


if __name__ == "__main__":
    with patch.object(llama, "LlamaEngine", _TimedEngine):
        sys.exit(main())
