"""Retrieval: by meaning and by words, fused by rank."""

import asyncio
from collections.abc import Iterable

import structlog
from sqlalchemy import Row, func, select

from knowledge.embed import Vectors
from knowledge.errors import EmbeddingAwayError, EmbeddingModelChangedError, IndexAwayError
from knowledge.fuse import fuse
from knowledge.index import Index
from knowledge.retrieved import ApprovedMatch, Retrieved
from store import Chunk, ChunkKind, Database, Document

log = structlog.get_logger()

CANDIDATES = 30
"""Chunks that each side proposes."""
DENSE_WEIGHT = 1.0
LEXICAL_WEIGHT = 1.0

Found = Row[Chunk, str, str]
"""A chunk with the title and the source of its document."""


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
    found = await _read(database, scores, exclude)
    best = _each_answer_once(found[chunk_id] for chunk_id in scores if chunk_id in found)[:limit]
    similarity |= await _similarities(
        index, [row.Chunk.id for row in best if row.Chunk.id not in similarity], vector
    )
    return [
        _retrieved(row, scores[row.Chunk.id], similarity.get(row.Chunk.id), coverage)
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


async def _search_dense(
    index: Index, query: str, kinds: Iterable[ChunkKind], limit: int
) -> tuple[Vectors | None, dict[int, float]]:
    """The query's embedding and the nearest chunks with their cosine; nothing when it is away."""
    try:
        vector = await index.embedder.embed_query(query)
        found = [await index.dense.search(kind, vector, limit) for kind in kinds]
    except (EmbeddingAwayError, IndexAwayError, EmbeddingModelChangedError) as error:
        log.warning("retrieval_by_words_alone", error=str(error))
        return None, {}
    merged = {chunk_id: cosine for hits in found for chunk_id, cosine in hits.items()}
    return vector, dict(sorted(merged.items(), key=lambda item: -item[1])[:limit])


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
                reply_id=row.Chunk.reply_id,
                question=row.Chunk.question or "",
                answer=row.Chunk.text,
                similarity=cosine,
            )
    return None


async def _count_in(database: Database, conversation_id: str | None) -> int:
    """How many chunks a conversation has: so many more are asked for before it is left out."""
    if conversation_id is None:
        return 0
    async with database.read() as session:
        count = select(func.count(Chunk.id)).where(Chunk.conversation_id == conversation_id)
        return await session.scalar(count) or 0


async def _read(database: Database, ids: Iterable[int], exclude: str | None) -> dict[int, Found]:
    """The rows; those that are gone, or that were said in the excluded conversation, are not."""
    statement = (
        select(Chunk, Document.title, Document.source).join(Document).where(Chunk.id.in_(ids))
    )
    async with database.read() as session:
        rows = (await session.execute(statement)).all()
    return {
        row.Chunk.id: row for row in rows if exclude is None or row.Chunk.conversation_id != exclude
    }


def _each_answer_once(rows: Iterable[Found]) -> list[Found]:
    """A pair is stored once for each phrasing: the best of them stands for all."""
    by_text: dict[str, Found] = {}
    for row in rows:
        by_text.setdefault(row.Chunk.text, row)
    return list(by_text.values())


def _retrieved(
    row: Found, score: float, similarity: float | None, coverage: dict[int, float]
) -> Retrieved:
    chunk = row.Chunk
    return Retrieved(
        chunk_id=chunk.id,
        document_id=chunk.document_id,
        kind=chunk.kind,
        title=" > ".join(filter(None, (row.title, chunk.heading))),
        source=row.source,
        text=chunk.text,
        question=chunk.question,
        reply_id=chunk.reply_id,
        score=score,
        similarity=similarity,
        coverage=coverage.get(chunk.id, 0.0),
    )
