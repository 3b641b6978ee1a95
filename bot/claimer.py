"""The loop of whoever claims work from the store: the answer worker and the outbox."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

import structlog

from bot.bell import Bell
from bot.claim import lease_from, make_owner
from store import Executor, Reply, Turn, utc_now

log = structlog.get_logger(__name__)

_W = TypeVar("_W")


class Claimer(ABC, Generic[_W]):
    """Claims work while there is room, and does many pieces at the same time.

    What this very process stores is claimed in the transaction that stores it where it can be
    done at once (`claim_new`), and begun after the commit (`take_over`). All else is found by
    looking. The rows alone say what is to do: a process that is killed in between loses nothing.

    Give it an `owner` that stays the same from start to start only where one process runs: it
    then takes up at once what it was doing when it was killed, instead of after the lease.
    """

    def __init__(self, *, owner: str | None, concurrency: int) -> None:
        self._owner = owner or make_owner()
        self._concurrency = concurrency
        self._bell = Bell()
        self._tasks: dict[asyncio.Task[None], str] = {}
        """What is being done, each with its conversation."""
        self._look_after: set[str] = set()
        """Conversations that have more to do after what is being done."""
        self._is_running = False
        self._is_stopping = False

    def wake(self, conversation_id: str | None = None) -> None:
        """Say that there is work, and where; without it, work is found within a second."""
        if conversation_id is not None and conversation_id in self._tasks.values():
            self._look_after.add(conversation_id)  # before its turn it cannot be claimed
        else:
            self._bell.ring()

    def take_over(self, work: _W) -> None:
        """After the commit of what `claim_new` saw: begin it, or look for it in its turn."""
        row = self._row(work)
        if row.claimed_by == self._owner:
            self._begin(work)
        else:
            self.wake(row.conversation_id)

    async def run(self, *, grace_s: float = 10.0) -> None:
        """Work until `stop`, or until cancelled; what is under way then gets `grace_s` to end."""
        await self._release()
        self._is_running = True
        try:
            while not self._is_stopping:
                await self._take_up()
        finally:
            self._is_running = False
            await self._end(grace_s)
            self._is_stopping = False

    def stop(self) -> None:
        """Take nothing up any more; `run` returns when what is under way has ended."""
        self._is_stopping = True
        self._bell.ring()

    @abstractmethod
    def claim_new(self, executor: Executor, work: _W) -> None:
        """Claim work that is about to be stored, if it is the next here, and there is room.

        It may be called in a transaction's thread, and changes nothing but the work.
        """

    @abstractmethod
    async def _claim(self, room: int) -> Sequence[_W]:
        """Claim up to so many pieces of work."""

    @abstractmethod
    def _row(self, work: _W) -> Turn | Reply:
        """The row that a piece is claimed by."""

    @abstractmethod
    async def _do(self, work: _W) -> None:
        """Do one piece."""

    @abstractmethod
    async def _release(self) -> None:
        """Let go of all that this owner has claimed."""

    def _may_claim(self) -> bool:
        return self._is_running and not self._is_stopping and self._room > 0

    def _sign(self, row: Turn | Reply) -> None:
        row.attempts = 1
        row.claimed_by, row.claimed_until = self._owner, lease_from(utc_now())

    @property
    def _room(self) -> int:
        return max(0, self._concurrency - len(self._tasks))

    async def _take_up(self) -> None:
        """Begin what there is room for, and wait for more."""
        claimed: Sequence[_W] = ()
        room = self._room
        try:
            claimed = await self._claim(room) if room else ()
        except Exception:  # the database may be away for a while
            log.exception("nothing_claimed", claimer=type(self).__name__)
        for work in claimed:
            self._begin(work)
        if not room or len(claimed) < room:
            await self._bell.wait()

    def _begin(self, work: _W) -> None:
        task = asyncio.create_task(self._do_safely(work))
        self._tasks[task] = self._row(work).conversation_id
        task.add_done_callback(self._ended)

    async def _do_safely(self, work: _W) -> None:
        """A fault ends the piece, not the loop: its lease runs out, and it is tried again."""
        try:
            await self._do(work)
        except Exception:
            log.exception("work_broken_off", claimer=type(self).__name__)

    def _ended(self, task: asyncio.Task[None]) -> None:
        was_full = not self._room
        conversation_id = self._tasks.pop(task)
        if was_full or conversation_id in self._look_after:
            self._look_after.discard(conversation_id)
            self._bell.ring()

    async def _end(self, grace_s: float) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._release()
