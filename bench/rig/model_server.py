"""A model server alone, in its process."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def run_model_server(
    data: Path, engine: str, *options: str, module: str = "modelserver"
) -> Iterator[str]:
    """Yields its base URL. The engine is `stub`, or `llama` with the real embedding model."""
    command = [sys.executable, "-m", module, "--data", str(data), "--port", "0"]
    with subprocess.Popen(
        [*command, "--engine", engine, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().rsplit(" ", 1)[-1].strip()
        finally:
            process.terminate()
            process.wait(timeout=60)
