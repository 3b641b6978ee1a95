"""How well retrieval finds: by words, by meaning, and fused; what relevance keeps and lets in.

It needs the real embedding model (the `local` extra) and a folder of test sets, which
`NOD_BENCH_DATA` names: each with `corpus.jsonl` {id, title, text} and, for `en_clinc_oos`,
`kb.jsonl` and `calibrate.jsonl` {text, intent}. `NOD_BENCH_SAMPLE` is how many chunks and queries
of each set are used (default 300: two minutes on a quiet core).
"""

import asyncio
import json
import math
import os
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openai

from bench.rig.model_server import run_model_server
from knowledge.embed import Embedder, Side, Vectors
from knowledge.fuse import fuse
from knowledge.lexical import LexicalIndex
from knowledge.relevance import ENOUGH_COVERAGE, THRESHOLDS
from knowledge.retrieve import CANDIDATES, DENSE_WEIGHT, LEXICAL_WEIGHT

MODEL = "multilingual-e5-small"
SAMPLE = int(os.environ.get("NOD_BENCH_SAMPLE", "300"))
DATA = os.environ.get("NOD_BENCH_DATA")

Rank = Callable[[int, str], Sequence[int]]
Row = dict[str, str]


def main() -> dict[str, Any]:
    if not DATA or not Path(DATA).is_dir():
        print("skipped: NOD_BENCH_DATA does not name the folder of the test sets")
        return {"figures": []}
    with (
        tempfile.TemporaryDirectory(prefix="nod-bench-") as folder,
        run_model_server(Path(folder), "llama") as url,
    ):
        return {"figures": asyncio.run(_measure(Path(DATA), url))}


async def _measure(data: Path, url: str) -> list[dict[str, Any]]:
    embedder = Embedder(openai.AsyncOpenAI(base_url=url, api_key="none"), MODEL)
    figures = []
    for name in ("zh_consult", "en_support"):
        corpus = _read(data / name / "corpus.jsonl")[:SAMPLE]
        figures += await _quality(name, embedder, corpus)
    return figures + await _relevance(embedder, data / "en_clinc_oos")


async def _quality(name: str, embedder: Embedder, corpus: list[Row]) -> list[dict[str, Any]]:
    """Each title as a query, and its own text, or another of its intent, as what to find."""
    queries, texts = [row["title"] for row in corpus], [row["text"] for row in corpus]
    right = [{at for at, other in enumerate(corpus) if _belongs(other, row)} for row in corpus]
    passages = await embedder.embed([(Side.passage, text) for text in texts], is_patient=True)
    asked = await embedder.embed([(Side.query, text) for text in queries], is_patient=True)
    lexical = _index(texts)

    def by_words(_: int, query: str) -> Sequence[int]:
        return [hit.chunk_id for hit in lexical.search(query, CANDIDATES)]

    def by_meaning(at: int, _: str) -> Sequence[int]:
        return _nearest(passages, asked[at])

    def fused(at: int, query: str) -> Sequence[int]:
        rankings = [(DENSE_WEIGHT, by_meaning(at, query)), (LEXICAL_WEIGHT, by_words(at, query))]
        return list(fuse(rankings))

    ranks: dict[str, Rank] = {"words": by_words, "meaning": by_meaning, "fused": fused}
    return [
        _figure(f"{name} {metric}, {way}", value, f"{name} {metric}, meaning")
        for way, rank in ranks.items()
        for metric, value in _score(queries, right, rank).items()
    ]


def _belongs(other: Row, row: Row) -> bool:
    return other["id"] == row["id"] or other.get("intent", "") == row.get("intent", "none")


def _score(queries: list[str], right: list[set[int]], rank: Rank) -> dict[str, float]:
    """Means over the queries: hit@1, hit@5 and nDCG@10."""
    hits = {"hit@1": 0.0, "hit@5": 0.0, "nDCG@10": 0.0}
    for at, query in enumerate(queries):
        found = [chunk in right[at] for chunk in rank(at, query)[:10]]
        ideal = sum(1 / math.log2(n + 2) for n in range(min(10, len(right[at]))))
        hits["hit@1"] += any(found[:1])
        hits["hit@5"] += any(found[:5])
        hits["nDCG@10"] += sum(f / math.log2(n + 2) for n, f in enumerate(found)) / ideal
    return {metric: total / len(queries) for metric, total in hits.items()}


async def _relevance(embedder: Embedder, folder: Path) -> list[dict[str, Any]]:
    """Which questions pass the threshold of pairs: of the topics that are known, and of others."""
    known = [row["text"] for row in _read(folder / "kb.jsonl")[: 3 * SAMPLE]]
    asked = _read(folder / "calibrate.jsonl")
    vectors = await embedder.embed([(Side.query, text) for text in known], is_patient=True)
    lexical = _index(known)

    async def share_let_in(rows: list[Row]) -> float:
        let_in = 0
        for row in rows:
            hits = lexical.search(row["text"], 1)
            cosine = float((vectors @ await embedder.embed_query(row["text"])).max())
            let_in += cosine >= THRESHOLDS[MODEL].pair or bool(
                hits and hits[0].coverage >= ENOUGH_COVERAGE
            )
        return let_in / len(rows)

    other = [row for row in asked if row["intent"] == "oos"][:SAMPLE]
    on_topic = [row for row in asked if row["intent"] != "oos"][:SAMPLE]
    return [
        _figure("relevance: on-topic kept", await share_let_in(on_topic)),
        _figure("relevance: off-topic let in", await share_let_in(other)),
    ]


def _read(path: Path) -> list[Row]:
    """The lines in a random order that is always the same."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return random.Random(0).sample(rows, len(rows))


def _index(texts: list[str]) -> LexicalIndex:
    index = LexicalIndex()
    for at, text in enumerate(texts):
        index.add(at, text)
    return index


def _nearest(passages: Vectors, vector: Vectors) -> Sequence[int]:
    return [int(at) for at in np.argsort(-(passages @ vector))[:CANDIDATES]]


def _figure(name: str, value: float, ratio_to: str | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "unit": "share",
        "ratio_to": ratio_to if ratio_to != name else None,
    }
