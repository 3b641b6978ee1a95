"""The guard before the console: nothing gets in without a login, from elsewhere, or too large."""

from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.console.login import COOKIE, read_user
from bot.channels.web_guard import SECURITY_HEADERS, is_same_origin
from knowledge.reading import MAX_BYTES
from store import Database

PREFIX = "/console"
OPEN_PATHS = (f"{PREFIX}/login", f"{PREFIX}/logout", f"{PREFIX}/prefer", f"{PREFIX}/look/")
MAX_UPLOAD = MAX_BYTES + 64_000
"""A document, and what a form has around it."""
MAX_POST = 1_000_000
"""Anything else that a browser sends here."""
USER = "nod.user"
"""Where a request's scope holds the user who made it."""

CONSOLE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""NiceGUI writes its page inline and Vue compiles templates, so both must be allowed; nothing
foreign is, and nobody may frame it. Texts of customers only ever become text nodes."""


class ConsoleGuard:
    """Stands in front of everything below /console, the framework's own paths included."""

    def __init__(self, app: ASGIApp, database: Database) -> None:
        self._app, self._database = app, database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _concerns_us(scope):
            await self._app(scope, receive, send)
            return
        refusal = await self._refuse(scope)
        if refusal is None:
            await self._app(scope, _bounded(scope, receive), _with_headers(scope, send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, _with_headers(scope, send))

    async def _refuse(self, scope: Scope) -> Response | None:
        changes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        if changes and not is_same_origin(Headers(scope=scope)):
            return PlainTextResponse("This request comes from another site.", 403)
        announced = Headers(scope=scope).get("content-length", "")
        if changes and announced.isdigit() and int(announced) > _most_bytes(scope):
            return _too_large(scope)
        if scope["path"].startswith(OPEN_PATHS):
            return None
        user = await read_user(self._database, HTTPConnection(scope).cookies.get(COOKIE))
        if user is not None:
            scope[USER] = user
            return None
        if changes or "/_nicegui" in scope["path"]:
            return PlainTextResponse("Log in first.", 401)
        return RedirectResponse(f"{PREFIX}/login?next={quote(_target(scope))}", 303)


def _concerns_us(scope: Scope) -> bool:
    if scope["type"] not in ("http", "websocket"):
        return False
    path: str = scope["path"]
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def _most_bytes(scope: Scope) -> int:
    return MAX_UPLOAD if "/upload/" in scope["path"] else MAX_POST


def _too_large(scope: Scope) -> Response:
    return PlainTextResponse(f"At most {_most_bytes(scope):,} bytes are taken here.", 413)


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """The body as it comes in, until it is too long: what was announced binds nobody."""
    if scope["type"] != "http":
        return receive
    left = _most_bytes(scope)

    async def receive_bounded() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(413, f"At most {_most_bytes(scope):,} bytes are taken here.")
        return message

    return receive_bounded


def _target(scope: Scope) -> str:
    query = scope["query_string"].decode("latin-1")
    return f"{scope['path']}?{query}" if query else str(scope["path"])


def _with_headers(scope: Scope, send: Send) -> Send:
    async def send_guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Content-Security-Policy", CONSOLE_POLICY)
            if "/_nicegui" not in scope["path"] and "/look/" not in scope["path"]:
                headers["Cache-Control"] = "no-store"
        await send(message)

    return send_guarded
