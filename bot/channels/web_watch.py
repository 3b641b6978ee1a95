"""The watch: tells the open chat pages of a process what concerns them.

What happens in this process is told at once. What another one wrote is found by looking: one
reading of the rows serves all open pages.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import structlog

from bot.channels.web_view import Sign, read_signs
from store import Database

log = structlog.get_logger(__name__)

LOOK_S = 1.0
"""Between two readings of all that is open."""
LOOKS_WHILE_WAITING = 4
"""So many times as often where an answer is awaited."""
FRAME_S = 0.03
"""Between two drafts: a fast model writes more words a second than a screen shows."""


@dataclass(eq=False, kw_only=True)
class Listener:
    """One open page."""

    conversation_id: str
    ip: str
    sign: Sign = field(default_factory=Sign)
    """As it was last read."""
    is_stale: bool = True
    """The rows may say more than the page shows."""
    draft: str | None = None
    """The answer as far as it is written; none once it is a turn."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _next_frame: float = 0.0

    def look(self) -> None:
        """Have the page read the rows."""
        self.is_stale = True
        self.changed.set()

    def show(self, draft: str) -> None:
        """Have the page show a draft, now or with the next frame."""
        self.draft = draft
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now >= self._next_frame:
            self._next_frame = now + FRAME_S
            self.changed.set()
        elif now + FRAME_S > self._next_frame:  # the frame after this one is not yet planned
            loop.call_at(self._next_frame, self.changed.set)
            self._next_frame += FRAME_S


class Watch:
    """Knows who listens, and wakes whom it concerns."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: dict[str, set[Listener]] = {}
        self._per_ip: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None
        self.is_closed = False

    @contextlib.contextmanager
    def listen(self, listener: Listener) -> Iterator[None]:
        """For as long as its page is open."""
        self._listeners.setdefault(listener.conversation_id, set()).add(listener)
        self._per_ip[listener.ip] += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="web-watch")
        try:
            yield
        finally:
            self._leave(listener)

    def show(self, conversation_id: str, draft: str) -> None:
        """Show a draft on every page that has this conversation open."""
        for listener in self._listeners.get(conversation_id, ()):
            listener.show(draft)

    def nudge(self, conversation_id: str) -> None:
        """Something was said in this process: its pages look at once."""
        for listener in self._listeners.get(conversation_id, ()):
            listener.look()

    def count(self, conversation_id: str) -> int:
        """How many pages have this conversation open here."""
        return len(self._listeners.get(conversation_id, ()))

    def count_from(self, ip: str) -> int:
        """How many pages are open from an address of the network."""
        return self._per_ip[ip]

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
        self._per_ip -= Counter([listener.ip])  # and forgets who has none

    async def _run(self) -> None:
        looks = 0
        while self._listeners:
            await asyncio.sleep(LOOK_S / LOOKS_WHILE_WAITING)
            looks += 1
            try:
                await self._look(only_waiting=looks % LOOKS_WHILE_WAITING > 0)
            except Exception:  # the database may be away for a while; the pages stay open
                log.warning("web_watch_failed", exc_info=True)

    async def _look(self, *, only_waiting: bool) -> None:
        listeners = [
            listener
            for those in self._listeners.values()
            for listener in those
            if not only_waiting or listener.sign.is_typing or listener.sign.is_held
        ]
        if not listeners:
            return
        ids = list({listener.conversation_id for listener in listeners})
        signs = await read_signs(self._database, ids)
        for listener in listeners:
            if listener.sign != signs[listener.conversation_id]:
                listener.look()
