"""The web chat: a page at `/`, messages by POST, everything else as server-sent events.

    GET  /               the page; sets the visitor's cookie
    POST /chat/messages  {"id": "made by the page", "text": "..."}; the same id is stored once
    POST /chat/thumbs    {"seq": 4, "thumb": "up"}: see bot.channels.web_thumbs
    GET  /chat/events    turn, sign and draft events; goes on after `Last-Event-ID`

A turn's `seq` is its event id. What is shown as a turn is always a row, so a reload, a lost
connection or another process changes nothing but the wait.
"""

from pathlib import Path
from typing import Any, Protocol

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from bot.channel import Channel, Outgoing
from bot.channels.allowance import Allowance
from bot.channels.web_guard import is_same_origin
from bot.channels.web_post import PAGE_HEADERS, MessagePost, read_post, refuse
from bot.channels.web_stream import EventStream
from bot.channels.web_thumbs import ThumbPost, keep_thumb
from bot.channels.web_visitor import address_of, ip_of, keep_visitor
from bot.channels.web_watch import Listener, Watch
from bot.message import Message
from store import Database, conversation_id

PAGE = Path(__file__).parent / "web_page"
PAGES_PER_VISITOR = 8
PAGES_PER_IP = 100
"""An office behind one address, not somebody who wants to use up our connections."""
_NO_COOKIE = "Your browser sent no cookie: load the page again, cookies on."


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


class WebPreview:
    """The answer as it is written, on every page that has the conversation open."""

    def __init__(self, watch: Watch, conversation: str) -> None:
        self._watch, self._conversation = watch, conversation

    async def typing(self) -> None:
        """That an answer is being made is in the rows already."""

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
        self.watch.nudge(outgoing.conversation_id)
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
    watch = channel.watch

    @router.get("/")
    async def show_page(request: Request) -> Response:
        response = FileResponse(PAGE / "index.html", headers=PAGE_HEADERS)
        response.headers["Cache-Control"] = "no-store"
        keep_visitor(request, response)
        return response

    @router.post("/chat/messages")
    async def post_message(request: Request) -> Response:
        if not is_same_origin(request.headers):
            return refuse(403, "Messages are taken from this site's own page only.")
        address = address_of(request)
        if address is None:
            return refuse(401, _NO_COOKIE)
        if wait_s := per_visitor.take(address) or per_ip.take(ip_of(request)):
            return refuse(429, "That was quick. It will be sent in a moment.", wait_s=wait_s)
        post = await read_post(request, MessagePost)
        if isinstance(post, Response):
            return post
        message = Message(
            channel=channel.name, address=address, text=post.text, delivery_id=post.id
        )
        await nod.inbox.receive(message)
        watch.nudge(conversation_id(channel.name, address))
        return JSONResponse({"id": post.id}, 202, headers=PAGE_HEADERS)

    @router.post("/chat/thumbs")
    async def post_thumb(request: Request) -> Response:
        address = address_of(request) if is_same_origin(request.headers) else None
        if address is None:
            return refuse(403, "Thumbs are taken from this site's own page only, with its cookie.")
        if wait_s := thumbs_per_visitor.take(address) or per_ip.take(ip_of(request)):
            return refuse(429, "That was quick.", wait_s=wait_s)
        post = await read_post(request, ThumbPost)
        if isinstance(post, Response):
            return post
        if not await keep_thumb(nod.database, conversation_id(channel.name, address), post):
            return refuse(404, f"seq={post.seq}: there is no answer to rate.")
        return JSONResponse({"thumb": post.thumb}, headers=PAGE_HEADERS)

    @router.get("/chat/events")
    async def stream_events(request: Request, after: int = 0) -> Response:
        address = address_of(request)
        if address is None:
            return refuse(401, _NO_COOKIE)
        listener = Listener(
            conversation_id=conversation_id(channel.name, address), ip=ip_of(request)
        )
        if watch.count(listener.conversation_id) >= PAGES_PER_VISITOR:
            return refuse(429, "This conversation is open in too many pages.", wait_s=30)
        if watch.count_from(listener.ip) >= PAGES_PER_IP:
            return refuse(429, "Too many pages are open from your network.", wait_s=30)
        last = request.headers.get("last-event-id", "")
        after = max(after, int(last) if last.isdigit() and len(last) < 10 else 0)
        return EventStream(nod.database, watch, listener, after)

    return router
