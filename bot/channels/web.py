"""The web chat: a page at `/`, messages by POST, everything else as server-sent events.

    GET  /               the page; sets the visitor's cookie
    POST /chat/messages  {"id": "made by the page", "text": "..."}; the same id is stored once
    POST /chat/thumbs    {"seq": 4, "thumb": "up"}: see bot.channels.web_thumbs
    GET  /chat/events    turn, sign and draft events; goes on after `Last-Event-ID`

A turn's `seq` is its event id. What is shown as a turn is always a row, so a reload, a lost
connection or another process changes nothing but the wait.
"""

import asyncio
import hashlib
import json
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field, ValidationError, field_validator
from sqlalchemy import select

from bot.channel import Channel, Outgoing
from bot.channels.allowance import Allowance
from bot.channels.web_guard import PLAIN_PAGE_POLICY, SECURITY_HEADERS, is_same_origin
from bot.channels.web_thumbs import ThumbPost, keep_thumb, show_thumb
from bot.channels.web_watch import Listener, Watch
from bot.inbox import MAX_TEXT_CHARS
from bot.message import Message
from store import Database, Reply, Role, Thumb, Turn, Way, conversation_id

PAGE = Path(__file__).parent / "web_page"
COOKIE = "nod_visitor"
COOKIE_DAYS = 400  # the most that browsers keep
MAX_BODY = 100_000
"""Bytes: the longest message in the widest script, escaped, and room to spare."""
HISTORY_TURNS = 200
PING_S = 15.0
"""Below the half minute after which proxies close a silent connection."""
FRAME_S = 0.03
"""A fast model writes more words a second than a screen shows."""
PAGES_PER_VISITOR = 8
PAGE_HEADERS = {**SECURITY_HEADERS, "Content-Security-Policy": PLAIN_PAGE_POLICY}

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


class Receives(Protocol):
    """The inbox, as far as a channel needs it."""

    async def receive(self, message: Message) -> object:
        """Store the message as a turn; a repeated one changes nothing."""


class Rooms(Protocol):
    """What the web chat needs of the assembled program."""

    @property
    def database(self) -> Database: ...
    @property
    def inbox(self) -> Receives: ...
    @property
    def channels(self) -> dict[str, Channel]: ...


class Post(BaseModel):
    """What the page sends."""

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{8,64}$")
    text: str = Field(max_length=MAX_TEXT_CHARS)

    @field_validator("text")
    @classmethod
    def _says_something(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("the message is empty")
        return text


class WebPreview:
    """The answer as it is written, on every page that has the conversation open."""

    def __init__(self, watch: Watch, conversation: str) -> None:
        self._watch, self._conversation = watch, conversation

    async def typing(self) -> None:
        self._watch.nudge()  # that an answer is being made is in the rows already

    async def show(self, text: str) -> None:
        self._watch.show(self._conversation, text)


class WebChannel:
    """Customers in a browser. The address is a hash of the visitor's secret."""

    name = "web"

    def __init__(self, database: Database) -> None:
        self.watch = Watch(database)

    def preview(self, address: str, turn_id: int) -> WebPreview:  # noqa: ARG002 - one at a time
        return WebPreview(self.watch, conversation_id(self.name, address))

    async def deliver(self, outgoing: Outgoing) -> list[str]:
        """The reply is a turn by now, which every page reads: here at once, elsewhere soon."""
        self.watch.nudge()
        return [f"web-{outgoing.reply_id}"]

    async def close(self) -> None:
        """End the open streams; call it before the server waits for its connections to end."""
        await self.watch.close()


def mount_web_chat(app: FastAPI, nod: Rooms) -> WebChannel:
    """Add the page and its routes to `app`, and the channel to `nod.channels`."""
    channel = WebChannel(nod.database)
    nod.channels[channel.name] = channel
    app.include_router(_router(nod, channel))
    app.mount("/chat/page", _PageFiles(directory=PAGE), name="chat-page")
    return channel


class _PageFiles(StaticFiles):
    """The page's files, asked for again after an update."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers.update({**PAGE_HEADERS, "Cache-Control": "no-cache"})
        return response


def _router(nod: Rooms, channel: WebChannel) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    per_visitor = Allowance(burst=10, per_s=0.5)
    thumbs_per_visitor = Allowance(burst=20, per_s=1)
    per_ip = Allowance(burst=60, per_s=2)

    @router.get("/")
    async def show_page(request: Request) -> Response:
        response = FileResponse(PAGE / "index.html", headers=PAGE_HEADERS)
        response.headers["Cache-Control"] = "no-store"
        _keep_visitor(request, response)
        return response

    @router.post("/chat/messages")
    async def post_message(request: Request) -> Response:
        if not is_same_origin(request.headers):
            return _refuse(403, "Messages are taken from this site's own page only.")
        secret = _secret(request)
        if secret is None:
            return _refuse(401, "Your browser sent no cookie: load the page again, cookies on.")
        address = _address(secret)
        wait_s = per_visitor.take(address) or per_ip.take(_ip(request))
        if wait_s:
            return _refuse(429, "That was quick. It will be sent in a moment.", wait_s=wait_s)
        body = await _read_body(request)
        if body is None:
            return _refuse(
                413, f"The message is too long: {MAX_TEXT_CHARS} characters are the most."
            )
        try:
            post = Post.model_validate_json(body)
        except ValidationError as error:
            return _refuse_post(error)
        message = Message(
            channel=channel.name, address=address, text=post.text, delivery_id=post.id
        )
        await nod.inbox.receive(message)
        channel.watch.nudge()
        return JSONResponse({"id": post.id}, 202, headers=PAGE_HEADERS)

    @router.post("/chat/thumbs")
    async def post_thumb(request: Request) -> Response:
        secret = _secret(request) if is_same_origin(request.headers) else None
        if secret is None:
            return _refuse(403, "Thumbs are taken from this site's own page only, with its cookie.")
        address = _address(secret)
        if wait_s := thumbs_per_visitor.take(address) or per_ip.take(_ip(request)):
            return _refuse(429, "That was quick.", wait_s=wait_s)
        try:
            post = ThumbPost.model_validate_json(await _read_body(request) or b"")
        except ValidationError as error:
            return _refuse_post(error)
        if not await keep_thumb(nod.database, conversation_id(channel.name, address), post):
            return _refuse(404, f"seq={post.seq}: there is no answer to rate.")
        return JSONResponse({"thumb": post.thumb}, headers=PAGE_HEADERS)

    @router.get("/chat/events")
    async def stream_events(request: Request, after: int = 0) -> Response:
        secret = _secret(request)
        if secret is None:
            return _refuse(401, "Your browser sent no cookie: load the page again, cookies on.")
        conversation = conversation_id(channel.name, _address(secret))
        if channel.watch.count(conversation) >= PAGES_PER_VISITOR:
            return _refuse(429, "This conversation is open in too many pages.", wait_s=30)
        last = request.headers.get("last-event-id", "")
        after = max(after, int(last) if last.isdigit() and len(last) < 10 else 0)
        return StreamingResponse(
            stream(nod.database, channel.watch, conversation, after),
            media_type="text/event-stream",
            headers={**PAGE_HEADERS, "Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return router


async def stream(
    database: Database, watch: Watch, conversation: str, after: int
) -> AsyncIterator[str]:
    """The events of one conversation from the turn after `after` on, until the page leaves."""
    async with watch.listen(conversation) as listener:
        shown = None
        yield "retry: 2000\n\n"
        while not watch.is_closed:
            listener.changed.clear()
            sign, draft = listener.sign, listener.draft
            if sign.last_seq > after:
                for turn in await _read_turns(database, conversation, after):
                    after = turn["seq"]
                    if turn["role"] != Role.customer and listener.draft == draft:
                        listener.draft = draft = None
                    yield _event("turn", turn, event_id=after)
            if draft is not None:
                yield _event("draft", {"text": draft})
            if sign != shown:
                shown = sign
                yield _event("sign", _as_shown(listener))
            try:
                await asyncio.wait_for(listener.changed.wait(), PING_S)
            except TimeoutError:
                yield ": ping\n\n"
            await asyncio.sleep(FRAME_S)


def _as_shown(listener: Listener) -> dict[str, Any]:
    sign = listener.sign
    return {
        "typing": sign.is_typing,
        "held": sign.is_held,
        "person": sign.with_person,
        "fresh_from": sign.fresh_from_seq,
        "max_text": MAX_TEXT_CHARS,
    }


async def _read_turns(database: Database, conversation: str, after: int) -> list[dict[str, Any]]:
    """The newest turns after a seq, oldest first, as the page shows them."""
    newest = (
        select(Turn, Reply, Thumb)
        .outerjoin(Reply, Reply.id == Turn.reply_id)
        .outerjoin(Thumb, Thumb.reply_id == Turn.reply_id)
        .where(Turn.conversation_id == conversation, Turn.seq > after)
        .order_by(Turn.seq.desc())
        .limit(HISTORY_TURNS)
    )
    async with database.read() as session:
        rows = (await session.execute(newest)).all()
    return [_turn(*row) for row in reversed(rows)]


def _turn(turn: Turn, reply: Reply | None, thumb: Thumb | None) -> dict[str, Any]:
    return {
        "seq": turn.seq,
        "id": turn.delivery_id,
        "role": turn.role.value,
        "text": turn.text,
        "at": turn.created_at.isoformat(),
        "sources": _titles(reply) if reply is not None else [],
        **show_thumb(reply, thumb),
    }


def _titles(reply: Reply) -> list[str]:
    """What an answer rests on, by title: paths on our disk are nobody's business."""
    if reply.way not in (Way.tuned, Way.retrieval):
        return []
    titles = (str(source.get("title") or "") for source in reply.sources)
    return list(dict.fromkeys(title for title in titles if title))[:3]


def _event(name: str, data: Mapping[str, Any], *, event_id: int | None = None) -> str:
    head = f"id: {event_id}\n" if event_id is not None else ""
    # JSON has no bare line break, so one data line is enough.
    return f"{head}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def _secret(request: Request) -> str | None:
    secret = request.cookies.get(COOKIE, "")
    return secret if _SECRET.fullmatch(secret) else None


def _address(secret: str) -> str:
    """Who reads the address in the console or in a log cannot take the visitor's place."""
    return hashlib.sha256(f"nod web visitor {secret}".encode()).hexdigest()[:40]


def _keep_visitor(request: Request, response: Response) -> None:
    # Lax, not strict: who follows a link to the chat is to find the conversation again.
    response.set_cookie(
        COOKIE,
        _secret(request) or secrets.token_urlsafe(32),
        max_age=COOKIE_DAYS * 86_400,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )


def _ip(request: Request) -> str:
    return request.client.host if request.client else "unknown"


async def _read_body(request: Request) -> bytes | None:
    """The body, or none when it is larger than any message: it is not read to its end then."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY:
            return None
    return body


def _refuse_post(error: ValidationError) -> Response:
    problem = error.errors(include_url=False, include_input=False)[0]
    if problem["type"] == "string_too_long":
        return _refuse(413, f"The message is too long: {MAX_TEXT_CHARS} characters are the most.")
    where = ".".join(map(str, problem["loc"])) or "body"
    return _refuse(422, f"{where}: {problem['msg'].removeprefix('Value error, ')}")


def _refuse(status: int, why: str, *, wait_s: float | None = None) -> Response:
    headers = dict(PAGE_HEADERS)
    if wait_s is not None:
        headers["Retry-After"] = str(max(1, round(wait_s + 0.5)))
    return JSONResponse({"error": why}, status, headers=headers)
