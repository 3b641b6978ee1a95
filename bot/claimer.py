"""The loop of whoever claims work from the store: the answer worker and the outbox."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

import structlog

from bot.bell import Bell
from bot.claim import make_owner

log = structlog.get_logger(__name__)

_W = TypeVar("_W")


class Claimer(ABC, Generic[_W]):
    """Claims work while there is room, and does many pieces at the same time.

    Give it an `owner` that stays the same from start to start only where one process runs: it
    then takes up at once what it was doing when it was killed, instead of after the lease.
    """

    def __init__(self, *, owner: str | None, concurrency: int) -> None:
        self._owner = owner or make_owner()
        self._concurrency = concurrency
        self._bell = Bell()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    def wake(self) -> None:
        """Say that there is work; without it, work is found within a second."""
        self._bell.ring()

    async def run(self, *, grace_s: float = 10.0) -> None:
        """Work until `stop`, or until cancelled; what is under way then gets `grace_s` to end."""
        await self._release()
        try:
            while not self._is_stopping:
                await self._take_up()
        finally:
            await self._end(grace_s)
            self._is_stopping = False

    def stop(self) -> None:
        """Take nothing up any more; `run` returns when what is under way has ended."""
        self._is_stopping = True
        self._bell.ring()

    @abstractmethod
    async def _claim(self, room: int) -> Sequence[_W]:
        """Claim up to so many pieces of work."""

    @abstractmethod
    async def _do(self, work: _W) -> None:
        """Do one piece."""

    @abstractmethod
    async def _release(self) -> None:
        """Let go of all that this owner has claimed."""

    async def _take_up(self) -> None:
        """Begin what there is room for, or wait for more."""
        claimed: Sequence[_W] = ()
        room = self._concurrency - len(self._tasks)
        try:
            claimed = await self._claim(room) if room else ()
        except Exception:  # the database may be away for a while
            log.exception("nothing_claimed", claimer=type(self).__name__)
        for work in claimed:
            task = asyncio.create_task(self._do_safely(work))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        if not claimed:
            await self._bell.wait()

    async def _do_safely(self, work: _W) -> None:
        """A fault ends the piece, not the loop: its lease runs out, and it is tried again."""
        try:
            await self._do(work)
        except Exception:
            log.exception("work_broken_off", claimer=type(self).__name__)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._bell.ring()  # there is room, and perhaps a next piece in this conversation

    async def _end(self, grace_s: float) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._release()
