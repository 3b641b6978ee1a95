"""The knowledge store: what the other rooms hold.

knowledge = await Knowledge.open(database, client, embedding_model=..., folder=...)
found = await knowledge.retrieve("Do you deliver to Norway?")
await knowledge.learn(reply_id)   # an approved pair, findable when this returns
await knowledge.close()
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import openai
import structlog

from knowledge import approved
from knowledge.dense import DenseIndex
from knowledge.embed import Embedder, Side
from knowledge.errors import EmbeddingAwayError, IndexAwayError
from knowledge.index import Index, OnProgress
from knowledge.retrieve import find_approved, retrieve
from knowledge.retrieved import ApprovedMatch, Retrieved
from store import Database

log = structlog.get_logger()


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

    async def nearest_approved(
        self, query: str, *, exclude_conversation: str | None = None
    ) -> ApprovedMatch | None:
        """The pair whose question is nearest: the same words first, then by embedding."""
        return await find_approved(self._database, self._index, query, exclude=exclude_conversation)

    async def similarities(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """How near the two texts of each pair are in meaning: cosine, -1 to 1.

        Raises:
            EmbeddingAwayError: after every retry.
        """
        if not pairs:
            return []
        texts = [(Side.passage, text) for pair in pairs for text in pair]
        vectors = await self._index.embedder.embed(texts)
        return [float(cosine) for cosine in (vectors[::2] * vectors[1::2]).sum(axis=1)]

    async def learn(self, reply_id: int) -> None:
        """Bring the pairs of a reply to what its review says; findable when this returns.

        Does nothing the second time. A rejected reply is forgotten.
        """
        async with self._database.write() as session:
            changed = await approved.bring_pairs(session, reply_id)
        await self._follow(changed)

    async def forget(self, reply_id: int) -> None:
        """Remove the pairs of a reply. They come back with `sync` while its review approves it."""
        async with self._database.write() as session:
            changed = await approved.drop_pairs(session, reply_id)
        await self._follow(changed)

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
            await self._index.embed(changed.added)
        except (EmbeddingAwayError, IndexAwayError) as error:
            log.warning("chunks_wait_for_embedding", chunks=len(changed.added), error=str(error))
