"""The watch: notices what changes in the conversations that somebody has open in a browser.

One reading of the rows serves all open pages of a process, whichever process wrote them.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
from sqlalchemy import select

from store import Conversation, Database, Reply, ReplyStatus, Turn, TurnState

log = structlog.get_logger(__name__)

CALM_S = 1.0
"""Between two readings while nothing is known to happen here."""
BUSY_S = 0.1
"""And for a while after something was said in this process."""
BUSY_FOR_S = 3.0


@dataclass(frozen=True, kw_only=True)
class Sign:
    """What the customer is shown beside the turns."""

    last_seq: int = 0
    fresh_from_seq: int = 0
    """The bot remembers nothing before this turn."""
    is_typing: bool = False
    is_held: bool = False
    """An answer waits for a person's verdict."""
    with_person: bool = False


@dataclass(eq=False)
class Listener:
    """One open page."""

    conversation_id: str
    sign: Sign = field(default_factory=Sign)
    draft: str | None = None
    """The answer as far as it is written; none once it is a turn."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def show(self, draft: str) -> None:
        self.draft = draft
        self.changed.set()


class Watch:
    """Reads the rows once a second while anybody listens, and wakes whom it concerns."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: dict[str, set[Listener]] = {}
        self._nudged = asyncio.Event()
        self._busy_until = 0.0
        self._task: asyncio.Task[None] | None = None
        self.is_closed = False

    @asynccontextmanager
    async def listen(self, conversation_id: str) -> AsyncIterator[Listener]:
        """A listener, with its sign already read."""
        listener = Listener(conversation_id)
        self._listeners.setdefault(conversation_id, set()).add(listener)
        try:
            listener.sign = (await read_signs(self._database, [conversation_id]))[conversation_id]
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._run(), name="web-watch")
            yield listener
        finally:
            self._leave(listener)

    def show(self, conversation_id: str, draft: str) -> None:
        """Show a draft on every page that has this conversation open."""
        for listener in self._listeners.get(conversation_id, ()):
            listener.show(draft)

    def nudge(self) -> None:
        """Something was said in this process: look at once, and often for a while."""
        self._busy_until = asyncio.get_running_loop().time() + BUSY_FOR_S
        self._nudged.set()

    def count(self, conversation_id: str) -> int:
        """How many pages have this conversation open here."""
        return len(self._listeners.get(conversation_id, ()))

    async def close(self) -> None:
        """End every open page's stream; browsers come back by themselves."""
        self.is_closed = True
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.changed.set()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _leave(self, listener: Listener) -> None:
        listeners = self._listeners[listener.conversation_id]
        listeners.discard(listener)
        if not listeners:
            del self._listeners[listener.conversation_id]

    async def _run(self) -> None:
        while self._listeners:
            await self._pause()
            try:
                await self._look()
            except Exception:  # the database may be away for a while; the pages stay open
                log.warning("web_watch_failed", exc_info=True)

    async def _pause(self) -> None:
        is_busy = asyncio.get_running_loop().time() < self._busy_until
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._nudged.wait(), BUSY_S if is_busy else CALM_S)
        self._nudged.clear()

    async def _look(self) -> None:
        signs = await read_signs(self._database, list(self._listeners))
        for conversation_id, sign in signs.items():
            for listener in self._listeners.get(conversation_id, ()):
                if listener.sign != sign:
                    listener.sign = sign
                    listener.changed.set()


async def read_signs(database: Database, conversation_ids: Sequence[str]) -> dict[str, Sign]:
    """The sign of each conversation; one that does not exist yet has the empty sign."""
    to_answer = select(Turn.conversation_id).where(
        Turn.state.in_((TurnState.waiting, TurnState.answering)),
        Turn.conversation_id.in_(conversation_ids),
    )
    held = select(Reply.conversation_id).where(
        Reply.status == ReplyStatus.held, Reply.conversation_id.in_(conversation_ids)
    )
    async with database.read() as session:
        conversations = await session.scalars(
            select(Conversation).where(Conversation.id.in_(conversation_ids))
        )
        typing_ids = set(await session.scalars(to_answer))
        held_ids = set(await session.scalars(held))
        signs = {
            row.id: Sign(
                last_seq=row.last_seq,
                fresh_from_seq=row.context_from_seq,
                is_typing=row.id in typing_ids and row.taken_over_at is None,
                is_held=row.id in held_ids,
                with_person=row.taken_over_at is not None,
            )
            for row in conversations
        }
    return {
        conversation_id: signs.get(conversation_id, Sign()) for conversation_id in conversation_ids
    }
