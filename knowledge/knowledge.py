"""The knowledge store: what the other rooms hold.

knowledge = await Knowledge.open(database, client, embedding_model=..., folder=...)
found = await knowledge.retrieve("Do you deliver to Norway?")
await knowledge.learn(reply_id)   # an approved pair, findable when this returns
await knowledge.close()
"""

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import openai
import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from knowledge import approved
from knowledge.dense import DenseIndex
from knowledge.embed import Embedder, Side, Vectors
from knowledge.errors import (
    EmbeddingAwayError,
    IndexAwayError,
    KnowledgeError,
    NoSuchDocumentError,
)
from knowledge.index import Index, OnProgress
from knowledge.ingest import IngestReport, OnIngest, ingest, remove
from knowledge.reading import MAX_BYTES
from knowledge.relevance import is_relevant
from knowledge.retrieve import find_approved, read_phrasings, retrieve
from knowledge.retrieved import ApprovedMatch, Retrieved
from store import Chunk, Database, Document, DocumentKind

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class KnowledgeStatus:
    """How the knowledge store stands."""

    documents: int
    chunks: int
    waiting: int
    """Chunks that have no embedding yet."""
    chroma_error: str | None
    embedding_error: str | None


class Knowledge:
    """Documents and approved replies that the bot can look up."""

    def __init__(self, database: Database, index: Index) -> None:
        self._database = database
        self._index = index

    @classmethod
    async def open(
        cls,
        database: Database,
        client: openai.AsyncOpenAI,
        *,
        embedding_model: str,
        folder: Path | None = None,
        chroma_url: str | None = None,
        collection: str = "nod",
        may_rebuild: bool = False,
    ) -> Self:
        """Open the store, on disk or on a Chroma server; `sync` brings it up to date.

        When Chroma is away it opens all the same, and retrieval goes by words alone meanwhile.

        Args:
            collection: how the names of the collections begin, where shops share a Chroma server.
            may_rebuild: empty an index that another embedding model wrote, instead of raising.

        Raises:
            EmbeddingModelChangedError: the index was written by another embedding model.
        """
        dense = DenseIndex(model=embedding_model, folder=folder, url=chroma_url, name=collection)
        try:
            await (dense.clear() if may_rebuild else dense.check())
        except IndexAwayError as error:
            log.warning("chroma_is_away", error=str(error))
        except BaseException:
            await dense.close()
            raise
        await approved.make_document(database)
        index = Index(database, Embedder(client, embedding_model), dense)
        await index.read_anew()
        return cls(database, index)

    async def retrieve(
        self, query: str, *, limit: int = 3, exclude_conversation: str | None = None
    ) -> list[Retrieved]:
        """What is known about a query, best first: at most `limit` chunks.

        Args:
            exclude_conversation: leave out what was approved in it, as evaluation must.
        """
        return await retrieve(
            self._database, self._index, query, limit=limit, exclude=exclude_conversation
        )

    def is_relevant(self, retrieved: Sequence[Retrieved]) -> bool:
        """Whether any of what was retrieved is about what was asked; see knowledge.relevance."""
        return is_relevant(retrieved, self._index.embedder.model)

    async def nearest_approved(
        self, query: str, *, exclude_conversation: str | None = None
    ) -> ApprovedMatch | None:
        """The pair whose question is nearest: the same words first, then by embedding."""
        return await find_approved(self._database, self._index, query, exclude=exclude_conversation)

    async def phrasings(self, answer: str, *, exclude_conversation: str | None = None) -> list[str]:
        """Every question that has this answer, among the pairs."""
        return await read_phrasings(self._database, answer, exclude=exclude_conversation)

    async def similarities(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """How near the two texts of each pair are in meaning: cosine, -1 to 1.

        Raises:
            EmbeddingAwayError: after every retry.
        """
        if not pairs:
            return []
        texts = [(Side.passage, text) for pair in pairs for text in pair]
        vectors = await self._index.embedder.embed(texts, is_patient=True)
        return [float(cosine) for cosine in (vectors[::2] * vectors[1::2]).sum(axis=1)]

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """Embeddings of at least one text, (texts, dimensions), each of length 1.

        Raises:
            EmbeddingAwayError: after every retry.
        """
        sided = [(Side.passage, text) for text in texts]
        return await self._index.embedder.embed(sided, is_patient=True)

    async def learn(self, reply_id: int) -> None:
        """Bring the pairs of a reply to what its review says; findable when this returns.

        Does nothing the second time. A reply that is rejected, or set aside, is forgotten.
        """
        async with self._database.write() as session:
            changed = await approved.bring_pairs(session, reply_id)
        await self._follow(changed)

    async def forget(self, reply_id: int) -> None:
        """Remove the pairs of a reply. They come back with `sync` while its review approves it."""
        async with self._database.write() as session:
            changed = await approved.drop_pairs(session, [reply_id])
        await self._follow(changed)

    async def drop(self, chunk_ids: Collection[int]) -> None:
        """Take chunks whose rows are gone out of every index."""
        await self._index.remove(chunk_ids)

    async def ingest(
        self,
        paths: Iterable[Path],
        on_progress: OnIngest | None = None,
        *,
        max_bytes: int = MAX_BYTES,
    ) -> IngestReport:
        """Read files, and folders with all that is below them; the report says how it went.

        What has not changed is skipped, what has gone from below a folder is removed, and a file
        that cannot be read is reported while the rest goes on.
        """
        return await ingest(
            self._database, self._index, paths, on_progress=on_progress, max_bytes=max_bytes
        )

    async def remove_document(self, document_id: int) -> None:
        """Remove a document; it comes back when its file is ingested again.

        Raises:
            NoSuchDocumentError: there is none, or it is the one of the approved replies.
        """
        async with self._database.read() as session:
            document = await session.get(Document, document_id)
        if document is None:
            raise NoSuchDocumentError(f"there is no document {document_id}")
        if document.kind == DocumentKind.approved:
            raise NoSuchDocumentError(
                f"document {document_id} holds the approved replies: reject a reply to remove it"
            )
        await remove(self._database, self._index, document_id)

    async def sync(self, on_progress: OnProgress | None = None) -> int:
        """Bring every index to what the tables say, and return how many chunks still wait.

        For each start, and after a crash. When Chroma or the embeddings are away, it does the rest.

        Raises:
            EmbeddingModelChangedError: see `open`.
        """
        async with self._database.read() as session:
            behind = await approved.replies_behind(session)
        for reply_id in behind:
            async with self._database.write() as session:
                await approved.bring_pairs(session, reply_id)
        await self._index.read_anew()
        try:
            await self._index.compare()
        except IndexAwayError as error:
            log.warning("chroma_is_away", error=str(error))
        return await self._index.embed_waiting(on_progress)

    async def keep_in_step(self, every_s: float = 5.0) -> None:
        """Embed, for as long as it runs, what waits for it: from other processes, or from a time
        when the endpoint was away."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self._index.look()
                if await self._index.count_waiting():
                    await self._index.embed_waiting()
            except (SQLAlchemyError, KnowledgeError) as error:
                log.warning("index_is_behind", error=str(error))

    async def status(self) -> KnowledgeStatus:
        """How it stands, for a console and a doctor; asks Chroma and the embedding endpoint."""
        async with self._database.read() as session:
            documents = await session.scalar(select(func.count(Document.id)))
            chunks = await session.scalar(select(func.count(Chunk.id)))
        return KnowledgeStatus(
            documents=documents or 0,
            chunks=chunks or 0,
            waiting=await self._index.count_waiting(),
            chroma_error=await _error_of(self._index.dense.check()),
            embedding_error=await _error_of(self._index.embedder.check()),
        )

    async def reindex(self, on_progress: OnProgress | None = None) -> int:
        """Embed everything again, and return how many chunks still wait."""
        await self._index.dense.clear()
        return await self.sync(on_progress)

    async def close(self) -> None:
        await self._index.dense.close()

    async def _follow(self, changed: approved.Changed) -> None:
        await self._index.remove(changed.removed)
        await self._index.add(changed.added)
        try:
            await self._index.embed(changed.added, is_patient=False)
        except (EmbeddingAwayError, IndexAwayError) as error:
            log.warning("chunks_wait_for_embedding", chunks=len(changed.added), error=str(error))


async def _error_of(check: Awaitable[object]) -> str | None:
    try:
        await check
    except KnowledgeError as error:
        return str(error)
    return None
