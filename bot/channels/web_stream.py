"""The stream: a chat page's server-sent events, from the turn after `after` on."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from bot.channels.web_post import PAGE_HEADERS
from bot.channels.web_view import Sign, read_view
from bot.channels.web_watch import Listener, Watch
from bot.inbox import MAX_TEXT_CHARS
from store import Database, Role

PING_S = 15.0
"""Below the half minute after which proxies close a silent connection."""


class EventStream(StreamingResponse):
    """Listens from before its first event until the page leaves."""

    def __init__(self, database: Database, watch: Watch, listener: Listener, after: int) -> None:
        super().__init__(
            _follow(database, watch, listener, after),
            media_type="text/event-stream",
            headers={**PAGE_HEADERS, "Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        self._watch, self._listener = watch, listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._watch.listen(self._listener):
            await super().__call__(scope, receive, send)


async def _follow(
    database: Database, watch: Watch, listener: Listener, after: int
) -> AsyncIterator[str]:
    shown_sign, shown_draft = None, None
    yield "retry: 2000\n\n"
    while not watch.is_closed:
        listener.changed.clear()
        if listener.is_stale:
            listener.is_stale = False
            draft = listener.draft
            view = await read_view(database, listener.conversation_id, after)
            listener.sign = view.sign
            if view.sign.last_seq < after:  # it was forgotten, and may have begun anew
                after, listener.is_stale = 0, True
                listener.changed.set()
                yield _event("forgotten", {}, event_id=0)
                continue
            for turn in view.turns:
                after = turn["seq"]
                if turn["role"] != Role.customer and listener.draft == draft:
                    listener.draft = draft = None
                yield _event("turn", turn, event_id=after)
        if listener.draft != shown_draft:
            shown_draft = listener.draft
            if shown_draft is not None:
                yield _event("draft", {"text": shown_draft})
        if listener.sign != shown_sign:
            shown_sign = listener.sign
            yield _event("sign", _as_shown(shown_sign))
        try:
            async with asyncio.timeout(PING_S):
                await listener.changed.wait()
        except TimeoutError:
            yield ": ping\n\n"


def _as_shown(sign: Sign) -> dict[str, Any]:
    return {
        "typing": sign.is_typing,
        "held": sign.is_held,
        "person": sign.with_person,
        "fresh_from": sign.fresh_from_seq,
        "max_text": MAX_TEXT_CHARS,
    }


def _event(name: str, data: Mapping[str, Any], *, event_id: int | None = None) -> str:
    head = f"id: {event_id}\n" if event_id is not None else ""
    # JSON has no bare line break, so one data line is enough.
    return f"{head}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
