"""Ingest and retrieval at 10,000 chunks, beside plain Chroma filled sentence by sentence and BM25
that is built anew for each addition. Stub embeddings: the cost of a model is its own.

`NOD_BENCH_CHUNKS` sets another size.
"""

import asyncio
import os
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import chromadb
import openai
from rank_bm25 import BM25Okapi

from bench.rig.model_server import run_model_server
from knowledge import Knowledge
from knowledge.words import words_of
from store import Database
from store.migrate import migrate_now

CHUNKS = int(os.environ.get("NOD_BENCH_CHUNKS", "10000"))
SECTIONS = 50  # of a file: a chunk each
PLAIN_SAMPLE = 300
QUERIES = 200
MODEL = "multilingual-e5-small"

_random = random.Random(0)
_WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "rd", "sta", "mil")]


def main() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="nod-bench-") as name:
        folder = Path(name)
        with run_model_server(folder / "models", "stub") as url:
            figures = asyncio.run(_measure(folder, url))
    return {"figures": list(figures)}


async def _measure(folder: Path, url: str) -> Iterator[dict[str, Any]]:
    texts = _write_documents(folder / "documents")
    client = openai.AsyncOpenAI(base_url=url, api_key="none")
    migrate_now(f"sqlite+aiosqlite:///{folder / 'nod.db'}")
    database = Database(f"sqlite+aiosqlite:///{folder / 'nod.db'}")
    before = _memory_mib()
    knowledge = await Knowledge.open(
        database, client, embedding_model=MODEL, folder=folder / "chroma"
    )
    report = await knowledge.ingest([folder / "documents"])
    assert report.chunks == CHUNKS, report
    memory = _memory_mib() - before
    queries = [" ".join(_random.choices(_WORDS, k=6)) for _ in range(QUERIES)]
    retrieval = [await _milliseconds(knowledge, query) for query in queries]
    words = [_timed(partial(knowledge._index.lexical.search, query, 30)) for query in queries]
    started = time.perf_counter()
    await knowledge.close()
    again = await Knowledge.open(database, client, embedding_model=MODEL, folder=folder / "chroma")
    await again.sync()
    start_s = time.perf_counter() - started
    adding = _timed(lambda: again._index.lexical.add(10**9, texts[0]))
    await again.close()
    await database.close()

    plain = await _plain_chroma(client, folder / "plain", texts[:PLAIN_SAMPLE])
    tokens = [words_of(text) for text in texts]
    rebuilding = _timed(lambda: BM25Okapi(tokens))
    other = BM25Okapi(tokens)
    other_words = [
        _timed(partial(other.get_top_n, words_of(query), texts, 30)) for query in queries[:30]
    ]
    return iter(
        [
            _figure("plain Chroma, one by one", plain, "chunks/s"),
            _figure("ingest", CHUNKS / report.duration_s, "chunks/s", "plain Chroma, one by one"),
            _figure("memory for all", memory, "MiB"),
            _figure("start with all", start_s, "s"),
            _figure("retrieval, median", statistics.median(retrieval), "ms"),
            _figure("retrieval, 95th percentile", statistics.quantiles(retrieval, n=20)[-1], "ms"),
            _figure("rank_bm25 search, median", statistics.median(other_words), "ms"),
            _figure(
                "BM25 search, median", statistics.median(words), "ms", "rank_bm25 search, median"
            ),
            _figure("rank_bm25 with one more", rebuilding, "ms"),
            _figure("BM25 with one more", adding, "ms", "rank_bm25 with one more"),
        ]
    )


def _write_documents(folder: Path) -> list[str]:
    """Markdown of one passage a heading, of about 100 words."""
    folder.mkdir()
    texts = [" ".join(_random.choices(_WORDS, k=100)).capitalize() + "." for _ in range(CHUNKS)]
    for start in range(0, CHUNKS, SECTIONS):
        sections = [
            f"# Part {n}\n\n{texts[n]}\n" for n in range(start, min(start + SECTIONS, CHUNKS))
        ]
        (folder / f"{start:06}.md").write_text("\n".join(sections), encoding="utf-8")
    return texts


async def _plain_chroma(client: openai.AsyncOpenAI, folder: Path, texts: list[str]) -> float:
    """What a first tutorial does: one request and one addition a text. Chunks a second."""
    collection = chromadb.PersistentClient(str(folder)).create_collection(
        "plain", embedding_function=None
    )
    started = time.perf_counter()
    for number, text in enumerate(texts):
        response = await client.embeddings.create(model=MODEL, input=[f"passage: {text}"])
        vector: Sequence[float] = response.data[0].embedding
        collection.add(ids=[str(number)], embeddings=[vector], documents=[text])
    return len(texts) / (time.perf_counter() - started)


async def _milliseconds(knowledge: Knowledge, query: str) -> float:
    started = time.perf_counter()
    found = await knowledge.retrieve(query)
    assert len(found) == 3
    return (time.perf_counter() - started) * 1000


def _timed(act: Callable[[], object]) -> float:
    """Milliseconds."""
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) * 1000


def _memory_mib() -> float:
    """The most that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _figure(name: str, value: float, unit: str, ratio_to: str | None = None) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "ratio_to": ratio_to}
