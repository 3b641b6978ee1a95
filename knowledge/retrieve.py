"""Retrieval: by meaning and by words, fused by rank."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import structlog
from sqlalchemy import Row, bindparam, func, select

from knowledge.embed import Vectors
from knowledge.errors import EmbeddingAwayError, EmbeddingModelChangedError, IndexAwayError
from knowledge.fuse import fuse
from knowledge.index import Index
from knowledge.retrieved import ApprovedMatch, Retrieved, title_of
from store import Chunk, ChunkKind, Database, Document

log = structlog.get_logger()

CANDIDATES = 30
"""Chunks that each side proposes."""
DENSE_WEIGHT = 1.0
LEXICAL_WEIGHT = 0.3
"""Fitted with multilingual-e5-small (hit@1, hit@5, nDCG@10): on 300 Chinese answers the words
alone gave .31 .53 .46, the meaning .40 .63 .55, fused .42 .62 .57; on 900 English questions of 150
intents .61 .76 .47, .75 .90 .64 and .76 .89 .65. Equal weights were worse than the meaning alone.
"""

Found = Row[*tuple[Any, ...]]
"""A chunk with the title and the source of its document: the columns that `_read` selects."""


async def retrieve(
    database: Database, index: Index, query: str, *, limit: int, exclude: str | None
) -> list[Retrieved]:
    """The best chunks for a query, each answer once."""
    if limit < 1 or not query.strip():
        return []
    await index.look()
    wanted = CANDIDATES + limit + await _count_in(database, exclude)
    dense, lexical = await asyncio.gather(
        _search_dense(index, query, ChunkKind, wanted),
        asyncio.to_thread(index.lexical.search, query, wanted),
    )
    vector, similarity = dense
    coverage = {hit.chunk_id: hit.coverage for hit in lexical}
    scores = fuse([(DENSE_WEIGHT, list(similarity)), (LEXICAL_WEIGHT, list(coverage))])
    best = await _read_best(database, list(scores), limit, exclude)
    similarity |= await _similarities(
        index, [row.id for row in best if row.id not in similarity], vector
    )
    return [
        Retrieved(
            chunk_id=row.id,
            document_id=row.document_id,
            kind=row.kind,
            title=title_of(row.title, row.heading),
            source=row.source,
            text=row.text,
            question=row.question,
            reply_id=row.reply_id,
            score=scores[row.id],
            similarity=similarity.get(row.id),
            coverage=coverage.get(row.id, 0.0),
        )
        for row in best
    ]


async def find_approved(
    database: Database, index: Index, query: str, *, exclude: str | None
) -> ApprovedMatch | None:
    """The pair whose question is nearest to a query."""
    if not query.strip():
        return None
    await index.look()
    same = dict.fromkeys(index.lexical.asked(query), 1.0)
    if match := await _first_pair(database, same, exclude):
        return match
    wanted = 1 + CANDIDATES // 3 + await _count_in(database, exclude)
    _, similarity = await _search_dense(index, query, [ChunkKind.pair], wanted)
    return await _first_pair(database, similarity, exclude)


async def read_phrasings(database: Database, answer: str, *, exclude: str | None) -> list[str]:
    """The questions of all pairs with an answer: a reply may be approved more than once."""
    rows = await database.fetch_all(_PHRASINGS, {"answer": answer})
    return [row.question for row in rows if exclude is None or row.conversation_id != exclude]


async def _search_dense(
    index: Index, query: str, kinds: Iterable[ChunkKind], limit: int
) -> tuple[Vectors | None, dict[int, float]]:
    """The query's embedding and the nearest chunks with their cosine; nothing when it is away."""
    try:
        vector = await index.embedder.embed_query(query)
        return vector, await index.dense.search(kinds, vector, limit)
    except (EmbeddingAwayError, IndexAwayError, EmbeddingModelChangedError) as error:
        log.warning("retrieval_by_words_alone", error=str(error))
        return None, {}


async def _similarities(index: Index, ids: list[int], vector: Vectors | None) -> dict[int, float]:
    """The cosines of chunks that were found by their words alone."""
    if vector is None or not ids:
        return {}
    try:
        return await index.dense.similarities(ids, vector)
    except IndexAwayError:
        return {}


async def _first_pair(
    database: Database, similarity: dict[int, float], exclude: str | None
) -> ApprovedMatch | None:
    found = await _read(database, similarity, exclude) if similarity else {}
    for chunk_id, cosine in similarity.items():
        if row := found.get(chunk_id):
            return ApprovedMatch(
                chunk_id=chunk_id,
                reply_id=row.reply_id,
                question=row.question or "",
                answer=row.text,
                similarity=cosine,
            )
    return None


async def _count_in(database: Database, conversation_id: str | None) -> int:
    """How many chunks a conversation has: so many more are asked for before it is left out."""
    if conversation_id is None:
        return 0
    (count,) = await database.fetch_all(_COUNT, {"id": conversation_id})
    return int(count[0])


async def _read_best(
    database: Database, ids: Sequence[int], limit: int, exclude: str | None
) -> list[Found]:
    """The first rows with different texts: a pair is stored once for each phrasing, and the best
    of them stands for all. As a rule the first few candidates are enough."""
    best: dict[str, Found] = {}
    few = 4 * limit
    for start in range(0, len(ids), few):
        found = await _read(database, ids[start : start + few], exclude)
        for chunk_id in ids[start : start + few]:
            if row := found.get(chunk_id):
                best.setdefault(row.text, row)
        if len(best) >= limit:
            break
    return list(best.values())[:limit]


async def _read(database: Database, ids: Iterable[int], exclude: str | None) -> dict[int, Found]:
    """The rows; those that are gone, or that were said in the excluded conversation, are not."""
    rows = await database.fetch_all(_CHUNKS, {"ids": list(ids)})
    return {row.id: row for row in rows if exclude is None or row.conversation_id != exclude}


# Statements of every message are made once: to make one costs more than to carry it out.
_COUNT = select(func.count(Chunk.id)).where(Chunk.conversation_id == bindparam("id"))
_PHRASINGS = (
    select(Chunk.question, Chunk.conversation_id)
    .where(
        Chunk.kind == ChunkKind.pair,
        Chunk.text == bindparam("answer"),
        Chunk.question.is_not(None),
    )
    .order_by(Chunk.id)
)
_CHUNKS = (
    select(
        Chunk.id,
        Chunk.document_id,
        Chunk.kind,
        Document.title,
        Chunk.heading,
        Document.source,
        Chunk.question,
        Chunk.text,
        Chunk.reply_id,
        Chunk.conversation_id,
    )
    .join(Document, Document.id == Chunk.document_id)
    .where(Chunk.id.in_(bindparam("ids", expanding=True)))
)
