"""From the engine's threads to the event loop: answers in parallel, with a bounded queue."""

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from modelserver.catalog import Model
from modelserver.engine import Chunk, Engine, Kind
from modelserver.errors import ApiError, BusyError
from modelserver.loading import Loads

log = logging.getLogger(__name__)

_END = object()


class Generations:
    """`slots` requests are answered at a time, `queue` more wait, the next is refused.

    Who waits for a model to be loaded takes none of these places, but one of `queue` others.
    """

    def __init__(self, engine: Engine, *, slots: int, queue: int) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="answer")
        self._loads = Loads(engine, queue=queue)
        self._limit = slots + queue
        self._count = 0

    async def stream(
        self, kind: Kind, model: Model, requests: Sequence[dict[str, Any]]
    ) -> AsyncGenerator[Chunk]:
        """Chunks of each request, one after the other; a choice's index is its request's.

        Leaving the loop early stops the engine. Raises BusyError, LoadingError, or what the
        engine raises.
        """
        try:
            await self._loads.wait_for(model)
        except Exception as error:
            raise _known(error) from error
        self._admit()
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[Any] = asyncio.Queue()
        is_left = threading.Event()

        def post(item: object) -> bool:
            try:
                loop.call_soon_threadsafe(chunks.put_nowait, item)
            except RuntimeError:  # the loop has closed
                return True
            return is_left.is_set()

        def answer() -> None:
            try:
                for index, request in enumerate(requests):
                    if not is_left.is_set():
                        emit = partial(_post_numbered, post, index)
                        self._engine.generate(kind, model, request, emit)
                post(_END)
            except Exception as error:
                post(error)

        work = self._threads.submit(answer)
        work.add_done_callback(lambda _: loop.call_soon_threadsafe(self._leave))
        try:
            while (item := await chunks.get()) is not _END:
                if isinstance(item, Exception):
                    raise _known(item)
                yield item
        finally:
            is_left.set()
            work.cancel()

    def _admit(self) -> None:
        if self._count >= self._limit:
            raise BusyError(
                f"The server is busy: {self._count} requests are being answered or wait. "
                "Try again shortly."
            )
        self._count += 1

    def _leave(self) -> None:
        self._count -= 1

    def close(self) -> None:
        self._loads.close()
        self._threads.shutdown(cancel_futures=True)


def _post_numbered(post: Callable[[object], bool], index: int, chunk: Chunk) -> bool:
    for choice in chunk["choices"]:
        choice["index"] = index
    return post(chunk)


def _known(error: Exception) -> ApiError:
    if isinstance(error, ApiError):
        return error
    log.error("the engine failed", exc_info=error)
    return ApiError("The engine failed; the server's log has the details.")
