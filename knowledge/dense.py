"""The dense index: Chroma on disk, or a Chroma server. A cache that the chunk table can rebuild.

Passages and pairs are collections of their own: a filter on metadata made a query ten times slower
(26 ms against 2 ms at 10,000 chunks). Chroma's calls block, so they run in threads of their own.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import chromadb
import numpy as np
from chromadb.api import ClientAPI
from chromadb.api.models.Collection import Collection
from chromadb.config import Settings
from chromadb.errors import NotFoundError
from filelock import FileLock, Timeout

from knowledge.embed import Vectors
from knowledge.errors import EmbeddingModelChangedError, IndexAwayError
from store import ChunkKind

_R = TypeVar("_R")
WRITE_BATCH = 500
SERVER_THREADS = 8


class DenseIndex:
    """Embeddings by chunk id, with the name of the model that wrote them."""

    def __init__(
        self, *, model: str, folder: Path | None = None, url: str | None = None, name: str = "nod"
    ) -> None:
        if (folder is None) == (url is None):
            raise ValueError("give either a folder or the URL of a Chroma server")
        self.model = model
        self.place = str(folder) if folder else str(url)
        self._folder, self._url, self._name = folder, url, name
        self._lock: FileLock | None = None
        self._is_closed = False
        self._client: ClientAPI | None = None
        self._found: dict[ChunkKind, Collection] = {}
        # The embedded Chroma gets one thread, which is its lock; a server takes several at once.
        self._threads = ThreadPoolExecutor(SERVER_THREADS if url else 1, "chroma")

    async def check(self) -> None:
        """See that Chroma answers and holds nothing of another embedding model.

        Raises:
            IndexAwayError: it does not answer, or another process holds the folder.
            EmbeddingModelChangedError: it does.
        """
        await self._run(lambda: [self._find(kind) for kind in ChunkKind])

    async def write(self, kind: ChunkKind, ids: Sequence[int], vectors: Vectors) -> None:
        """Keep embeddings under chunk ids, in place of what was there."""

        def upsert() -> None:
            collection = self._find(kind) or self._make(kind, vectors.shape[1])
            self._check_dimension(collection, vectors.shape[1])
            for start in range(0, len(ids), WRITE_BATCH):
                part = slice(start, start + WRITE_BATCH)
                collection.upsert(ids=[str(i) for i in ids[part]], embeddings=vectors[part])

        if len(ids):
            await self._run(upsert)

    async def delete(self, ids: Iterable[int]) -> None:
        names = [str(i) for i in ids]

        def delete() -> None:
            for collection in filter(None, map(self._find, ChunkKind)):
                for start in range(0, len(names), WRITE_BATCH):
                    collection.delete(ids=names[start : start + WRITE_BATCH])

        if names:
            await self._run(delete)

    async def search(
        self, kinds: Iterable[ChunkKind], vector: Vectors, limit: int
    ) -> dict[int, float]:
        """The nearest chunks of these kinds with their cosine, nearest first."""

        def query() -> dict[int, float]:
            found: dict[int, float] = {}
            for collection in filter(None, map(self._find, kinds)):
                self._check_dimension(collection, vector.shape[0])
                rows = collection.query(
                    query_embeddings=vector[np.newaxis], n_results=limit, include=["distances"]
                )
                [distances] = rows["distances"] or [[]]
                found |= {int(i): 1 - d for i, d in zip(rows["ids"][0], distances, strict=True)}
            return dict(sorted(found.items(), key=lambda item: -item[1])[:limit])

        return await self._run(query)

    async def similarities(self, ids: Iterable[int], vector: Vectors) -> dict[int, float]:
        """The cosine of a query and of certain chunks; those without an embedding are left out."""
        names = [str(i) for i in ids]

        def get() -> dict[int, float]:
            found: dict[int, float] = {}
            for collection in filter(None, map(self._find, ChunkKind)):
                rows = collection.get(ids=names, include=["embeddings"])
                if rows["ids"]:
                    cosines = np.asarray(rows["embeddings"], dtype=np.float32) @ vector
                    found |= zip(map(int, rows["ids"]), map(float, cosines), strict=True)
            return found

        return await self._run(get) if names else {}

    async def ids(self) -> set[int]:
        """Every chunk that has an embedding."""

        def get() -> set[int]:
            found: set[int] = set()
            for collection in filter(None, map(self._find, ChunkKind)):
                found.update(map(int, collection.get(include=[])["ids"]))
            return found

        return await self._run(get)

    async def clear(self) -> None:
        """Forget every embedding, of whatever model."""

        def drop() -> None:
            client = self._connected()
            self._found.clear()
            for kind in ChunkKind:
                if self._exists(client, kind):
                    client.delete_collection(self._collection_name(kind))

        await self._run(drop)

    async def close(self) -> None:
        """Let go of the folder; a second time does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        await asyncio.get_running_loop().run_in_executor(self._threads, self._disconnect)
        self._threads.shutdown()

    # In a thread of our own from here on.

    async def _run(self, act: Callable[[], _R]) -> _R:
        def guarded() -> _R:
            try:
                try:
                    return act()
                except NotFoundError:  # another process has made the collections anew
                    self._found.clear()
                    return act()
            except (EmbeddingModelChangedError, IndexAwayError):
                raise
            except Exception as error:  # Chroma raises whatever its layers raise
                raise IndexAwayError(
                    f"Chroma at {self.place} failed: {type(error).__name__}: {error}"
                ) from error

        return await asyncio.get_running_loop().run_in_executor(self._threads, guarded)

    def _connected(self) -> ClientAPI:
        if self._client is None:
            settings = Settings(anonymized_telemetry=False)
            if self._folder is None:
                url = urlsplit(str(self._url))
                self._client = chromadb.HttpClient(
                    host=url.hostname or "localhost",
                    port=url.port or (443 if url.scheme == "https" else 8000),
                    ssl=url.scheme == "https",
                    settings=settings,
                )
            else:
                self._take(self._folder)
                self._client = chromadb.PersistentClient(str(self._folder), settings=settings)
        return self._client

    def _take(self, folder: Path) -> None:
        """The embedded Chroma is for one process: hold its folder."""
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "in-use.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise IndexAwayError(f"another process holds the Chroma folder {folder}") from None
        self._lock = lock

    def _disconnect(self) -> None:
        if self._client is not None:
            self._found.clear()
            self._client.close()  # type: ignore[attr-defined]
            self._client = None
        if self._lock is not None:
            self._lock.release()

    def _collection_name(self, kind: ChunkKind) -> str:
        return f"{self._name}-{kind}s"

    def _exists(self, client: ClientAPI, kind: ChunkKind) -> bool:
        try:
            client.get_collection(self._collection_name(kind), embedding_function=None)
        except NotFoundError:
            return False
        return True

    def _find(self, kind: ChunkKind) -> Collection | None:
        if kind not in self._found:
            try:
                found = self._connected().get_collection(
                    self._collection_name(kind), embedding_function=None
                )
            except NotFoundError:
                return None
            written_by = (found.metadata or {}).get("embedding_model")
            if written_by != self.model:
                raise EmbeddingModelChangedError(
                    self.place, written_by=repr(written_by), wanted=repr(self.model)
                )
            self._found[kind] = found
        return self._found[kind]

    def _make(self, kind: ChunkKind, dimension: int) -> Collection:
        return self._connected().get_or_create_collection(
            self._collection_name(kind),
            metadata={"embedding_model": self.model, "dimension": dimension},
            configuration={"hnsw": {"space": "cosine"}},
            embedding_function=None,
        )

    def _check_dimension(self, collection: Collection, dimension: int) -> None:
        metadata: Any = collection.metadata or {}
        if metadata.get("dimension") != dimension:
            raise EmbeddingModelChangedError(
                self.place,
                written_by=f"{self.model!r} in {metadata.get('dimension')} dimensions",
                wanted=f"{self.model!r}, which now gives {dimension}",
            )
