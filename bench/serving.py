"""Our server beside llama-cpp-python's: same weights, same questions, on the machine that it is.

Time to first token and tokens a second at 1, 4 and 16 clients that stream at once; what our HTTP
layer adds to llama.cpp's own first token; what other clients feel when an adapter is loaded; and
embeddings at batch 1 and 64 beside the same model without a server. Both serve the GGUF that ours
makes of SmolLM2-135M-Instruct, each with its defaults.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from openai import AsyncOpenAI, OpenAI
from safetensors.numpy import save_file

from bench.rig.llama_server import run_llama_server
from bench.rig.model_server import run_model_server
from bench.rig.streams import Streamed, ask, questions, stream, stream_all
from modelserver.bases import BUILT_IN, Base, resolve_base
from modelserver.child import child_environment
from modelserver.embedding import MODEL as EMBEDDING
from modelserver.embedding import E5Embedding
from modelserver.engine.llama_process import load_server

CLIENTS = (1, 4, 16)
ANSWERS = 32  # at each number of clients, all together
FIRST_TOKENS = 30
TEXTS = 128
BATCHES = (1, 64)
PEER = "llama-cpp-python"


def main() -> dict[str, Any]:
    """Milliseconds, tokens and texts a second, and the ratios."""
    # As the server's own processes have it: read when llama.cpp is loaded here, beside others.
    os.environ.update(child_environment())
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="nod-bench-") as folder:
        data = Path(folder)
        base = resolve_base(BUILT_IN, data)
        with run_llama_server(base.gguf_path) as url:
            theirs = {n: _load(url, BUILT_IN, n) for n in CLIENTS}
        with run_model_server(data, "llama") as url:
            ours = {n: _load(url, BUILT_IN, n) for n in CLIENTS}
            figures += _measure_http(url, base)
            figures += asyncio.run(_measure_switch(url, base, data))
            figures += _measure_embeddings(url)
    return {"figures": [*_compare(theirs, ours), *figures]}


def _load(url: str, model: str, clients: int) -> list[Streamed]:
    answers = max(1, ANSWERS // clients)
    streamed = asyncio.run(stream_all(url, model, clients=clients, answers=answers))
    if failed := [one.error for one in streamed if one.error]:
        raise RuntimeError(f"{len(failed)} of {len(streamed)} requests failed: {failed[0]}")
    return streamed


def _compare(
    theirs: dict[int, list[Streamed]], ours: dict[int, list[Streamed]]
) -> list[dict[str, Any]]:
    figures = []
    for clients in CLIENTS:
        for name, unit, measure in (
            ("first token, median", "ms", _first_token),
            ("tokens", "tokens/s", _rate),
        ):
            peer = f"{PEER}, {clients} clients: {name}"
            figures += [
                _figure(peer, measure(theirs[clients]), unit),
                _figure(f"Nod, {clients} clients: {name}", measure(ours[clients]), unit, peer),
            ]
    return figures


def _first_token(streamed: Sequence[Streamed]) -> float:
    return statistics.median(one.first_token_ms for one in streamed)


def _rate(streamed: Sequence[Streamed]) -> float:
    """Tokens of all clients together; a piece is a token."""
    seconds = max(one.pieces_at[-1] for one in streamed) - min(one.started_at for one in streamed)
    return sum(len(one.pieces_at) for one in streamed) / seconds


def _measure_http(url: str, base: Base) -> list[dict[str, Any]]:
    """The first token over HTTP, and of llama.cpp called in this process, turn by turn."""
    bare = load_server(
        {
            "model": str(base.gguf_path),
            "adapters": [],
            "slots": 4,
            "context": 4096,
            "cores": os.cpu_count() or 1,
        }
    )
    client = OpenAI(base_url=url, api_key="none")
    asked = questions()
    times: dict[str, list[float]] = {"bare": [], "http": []}
    for _ in range(FIRST_TOKENS):
        messages = ask(next(asked))
        times["bare"].append(_time_bare(bare, messages))
        times["http"].append(_time_http(client, messages))
    alone, through = (statistics.median(times[side][3:]) for side in ("bare", "http"))
    reference = "llama.cpp alone: first token, median"
    return [
        _figure(reference, alone, "ms"),
        _figure("through our HTTP: first token, median", through, "ms", reference),
        _figure("added by our HTTP layer", through - alone, "ms"),
    ]


def _time_bare(server: Any, messages: list[Any]) -> float:
    first: list[float] = []

    def take(chunk: Any) -> bool:
        has_text = chunk and chunk["choices"] and chunk["choices"][0]["delta"].get("content")
        if has_text and not first:
            first.append(time.perf_counter())
        return False

    started_at = time.perf_counter()
    request = {"messages": messages, "stream": True, "temperature": 0, "max_tokens": 4}
    server.handle_chat_completions(request, take)
    return (first[0] - started_at) * 1000


def _time_http(client: OpenAI, messages: list[Any]) -> float:
    started_at = time.perf_counter()
    first = 0.0
    with client.chat.completions.create(
        model=BUILT_IN, messages=messages, stream=True, temperature=0, max_tokens=4
    ) as chunks:
        for chunk in chunks:
            if chunk.choices[0].delta.content and not first:
                first = time.perf_counter()
    return (first - started_at) * 1000


async def _measure_switch(url: str, base: Base, data: Path) -> list[dict[str, Any]]:
    """Three clients stream from the base model while somebody asks for a new adapter."""
    quiet = await _stream_beside(url, None)
    tuned = await asyncio.to_thread(_import_adapter, base, data)
    switching = await _stream_beside(url, tuned)
    reference = "longest pause of other clients, no switch"
    return [
        _figure(reference, max(one.longest_pause_s for one in quiet), "s"),
        _figure(
            "longest pause of other clients, an adapter loading",
            max(one.longest_pause_s for one in switching),
            "s",
            reference,
        ),
        _figure(
            "failed requests while an adapter loads",
            sum(one.error is not None for one in switching),
            "",
        ),
    ]


async def _stream_beside(url: str, tuned: str | None) -> list[Streamed]:
    """What three clients got; the first request for `tuned`, if any, comes amid theirs."""
    others = asyncio.create_task(stream_all(url, BUILT_IN, clients=3, answers=6))
    await asyncio.sleep(2)
    if tuned is not None:
        async with AsyncOpenAI(base_url=url, api_key="none") as client:
            answer = await stream(client, tuned, "What does item 3 cost?")
            assert answer.error is None, answer.error
    return await others


def _import_adapter(base: Base, data: Path) -> str:
    """The name of an adapter of noise: nothing was trained, and llama.cpp loads it all the same."""
    config = json.loads((base.prepare_training_dir() / "config.json").read_text())
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    random = np.random.default_rng(0)
    weights = {}
    for layer in range(config["num_hidden_layers"]):
        for side, shape in (("A", (16, inner)), ("B", (hidden, 16))):
            name = f"base_model.model.model.layers.{layer}.mlp.down_proj.lora_{side}.weight"
            weights[name] = random.normal(0, 0.01, shape).astype(np.float32)
    folder = data / "noise"
    folder.mkdir()
    save_file(weights, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(
        json.dumps(
            {"peft_type": "LORA", "r": 16, "lora_alpha": 32, "target_modules": ["down_proj"]}
            | {"task_type": "CAUSAL_LM", "base_model_name_or_path": BUILT_IN}
        )
    )
    command = [sys.executable, "-m", "modelserver", "import", str(folder), "--base", BUILT_IN]
    command += ["--name", "noise", "--data", str(data)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return "noise"


def _measure_embeddings(url: str) -> list[dict[str, Any]]:
    """Texts a second over HTTP, and of the same model in this process."""
    client = OpenAI(base_url=url, api_key="none")
    embedding = E5Embedding()
    asked = questions()
    texts = [f"query: {next(asked)}" for _ in range(TEXTS)]
    figures = []
    for batch in BATCHES:
        parts = [texts[i : i + batch] for i in range(0, len(texts), batch)]
        reference = f"e5 alone, batch {batch}"
        alone = _texts_a_second(parts, embedding.embed)
        served = _texts_a_second(
            parts, lambda part: client.embeddings.create(model=EMBEDDING, input=part)
        )
        figures += [
            _figure(reference, alone, "texts/s"),
            _figure(f"embeddings, batch {batch}", served, "texts/s", reference),
        ]
    return figures


def _texts_a_second(parts: Sequence[list[str]], embed: Any) -> float:
    embed(parts[0])  # warm
    started_at = time.perf_counter()
    for part in parts:
        embed(part)
    return sum(map(len, parts)) / (time.perf_counter() - started_at)


def _figure(name: str, value: float, unit: str, ratio_to: str | None = None) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "ratio_to": ratio_to}
