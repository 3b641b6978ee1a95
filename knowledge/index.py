"""Keeps the two indexes in step with the chunk table, which is the truth.

A chunk is a row first, with `indexed_at` none. Its words are findable at once; its embedding
follows, at once or when the endpoint is back. Whatever a crash leaves half done shows in the table
and is mended by `sync`.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from knowledge.dense import DenseIndex
from knowledge.embed import Embedder, Side
from knowledge.errors import EmbeddingAwayError, IndexAwayError
from knowledge.lexical import LexicalIndex
from store import Chunk, ChunkKind, Database, Document, utc_now

log = structlog.get_logger()

OnProgress = Callable[[int, int], None]
"""Told how many chunks are done, and of how many."""

LOOK_EVERY_S = 1.0
"""How soon chunks that another process wrote are found by their words."""
BATCH = 128
"""Chunks embedded and marked in one go: what a crash makes us embed again."""
ROWS = 1000  # rows read in one go; SQLite takes 32,766 parameters


@dataclass(frozen=True, slots=True)
class ChunkText:
    """What the indexes need of a chunk."""

    id: int
    kind: ChunkKind
    title: str
    heading: str
    question: str | None
    text: str

    @property
    def to_embed(self) -> tuple[Side, str]:
        """A pair is found by its question, a passage by its words and the headings above it."""
        if self.question:
            return Side.query, self.question
        return Side.passage, f"{self.under}\n{self.text}"

    @property
    def under(self) -> str:
        return " > ".join(filter(None, (self.title, self.heading)))


class Index:
    """Chroma and the lexical index over one chunk table."""

    def __init__(self, database: Database, embedder: Embedder, dense: DenseIndex) -> None:
        self._database = database
        self.embedder = embedder
        self.dense = dense
        self.lexical = LexicalIndex()
        self._looked_at = -LOOK_EVERY_S
        self._one_writer = asyncio.Lock()

    async def look(self) -> None:
        """Notice, once a second at most, what other processes added or removed."""
        if time.monotonic() - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = time.monotonic()
        async with self._database.read() as session:
            row = (
                await session.execute(
                    select(func.count(Chunk.id), func.coalesce(func.sum(Chunk.id), 0))
                )
            ).one()
        if tuple(row) != (len(self.lexical), self.lexical.sum_of_ids):
            await self.read_anew()

    async def read_anew(self) -> None:
        """Bring the lexical index to what the table says; what has gone leaves Chroma too."""
        known = self.lexical.ids  # before the table: what is learnt meanwhile has not gone
        async with self._database.read() as session:
            present = set((await session.scalars(select(Chunk.id))).all())
        if gone := known - present:
            await self.remove(gone)
        await self.add(sorted(present - known))

    async def add(self, ids: Sequence[int]) -> None:
        """Make chunks findable by their words."""
        for start in range(0, len(ids), ROWS):
            async with self._database.read() as session:
                chunks = await read_chunks(session, ids[start : start + ROWS])
            await asyncio.to_thread(self._add_words, chunks)

    def _add_words(self, chunks: Iterable[ChunkText]) -> None:
        for chunk in chunks:
            under = chunk.heading if chunk.question else chunk.under
            self.lexical.add(chunk.id, f"{under}\n{chunk.text}", chunk.question)

    async def embed(self, ids: Sequence[int], *, is_patient: bool) -> None:
        """Write the embeddings of chunks to Chroma, and the fact to the table.

        Raises:
            EmbeddingAwayError, IndexAwayError: the chunks keep `indexed_at` none.
        """
        async with self._database.read() as session:
            chunks = await read_chunks(session, ids)
        if not chunks:
            return
        vectors = await self.embedder.embed(
            [chunk.to_embed for chunk in chunks], is_patient=is_patient
        )
        for kind in ChunkKind:
            rows = [row for row, chunk in enumerate(chunks) if chunk.kind == kind]
            await self.dense.write(kind, [chunks[row].id for row in rows], vectors[rows])
        async with self._database.write() as session:
            marked = await session.scalars(
                update(Chunk)
                .where(Chunk.id.in_([chunk.id for chunk in chunks]))
                .values(indexed_at=utc_now())
                .returning(Chunk.id)
            )
            gone = {chunk.id for chunk in chunks} - set(marked.all())
        await self.dense.delete(gone)  # removed while they were embedded

    async def remove(self, ids: Iterable[int]) -> None:
        """Forget chunks whose rows are gone; what Chroma keeps for now, `sync` removes."""
        ids = list(ids)
        self.embedder.forget_queries()  # they may be the very questions that go
        for chunk_id in ids:
            self.lexical.remove(chunk_id)
        try:
            await self.dense.delete(ids)
        except IndexAwayError as error:
            log.warning("embeddings_left_behind", chunks=len(ids), error=str(error))

    async def embed_waiting(self, on_progress: OnProgress | None = None) -> int:
        """Embed the chunks that wait for it, and say how many still do."""
        async with self._one_writer:
            done, total, last_id = 0, await self.count_waiting(), 0
            while ids := await self._waiting_after(last_id):
                try:
                    await self.embed(ids, is_patient=True)
                except (EmbeddingAwayError, IndexAwayError) as error:
                    log.warning("chunks_wait_for_embedding", chunks=total - done, error=str(error))
                    break
                last_id, done = ids[-1], done + len(ids)
                if on_progress:
                    on_progress(done, max(total, done))
            return await self.count_waiting()

    async def count_waiting(self) -> int:
        async with self._database.read() as session:
            waiting = select(func.count(Chunk.id)).where(Chunk.indexed_at.is_(None))
            return await session.scalar(waiting) or 0

    async def _waiting_after(self, last_id: int) -> Sequence[int]:
        async with self._database.read() as session:
            waiting = select(Chunk.id).where(Chunk.indexed_at.is_(None), Chunk.id > last_id)
            return (await session.scalars(waiting.order_by(Chunk.id).limit(BATCH))).all()

    async def compare(self) -> None:
        """Bring Chroma to what the table says: orphans go, what it lost is embedded again.

        Raises:
            IndexAwayError, EmbeddingModelChangedError: from Chroma.
        """
        # Chroma is read first: a chunk is a row before it is an embedding, so that what is there
        # and has no row afterwards was removed.
        embedded = await self.dense.ids()
        async with self._database.read() as session:
            marked = select(Chunk.id).where(Chunk.indexed_at.is_not(None))
            present = set((await session.scalars(select(Chunk.id))).all())
            lost = list(set((await session.scalars(marked)).all()) - embedded)
        await self.dense.delete(embedded - present)
        for start in range(0, len(lost), ROWS):
            async with self._database.write() as session:
                part = Chunk.id.in_(lost[start : start + ROWS])
                await session.execute(update(Chunk).where(part).values(indexed_at=None))


async def read_chunks(session: AsyncSession, ids: Sequence[int]) -> list[ChunkText]:
    """The texts of chunks; those that are gone are left out."""
    rows = await session.execute(
        select(Chunk.id, Chunk.kind, Document.title, Chunk.heading, Chunk.question, Chunk.text)
        .join(Document)
        .where(Chunk.id.in_(ids))
        .order_by(Chunk.id)
    )
    return [ChunkText(*row) for row in rows]
