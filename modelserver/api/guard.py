"""Stands before the API: keys, how many requests a key may send, and how many bytes each."""

import asyncio
import math
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelserver.errors import ApiError, BusyError, TooLargeError, UnauthorizedError
from modelserver.keys import Keys
from modelserver.loopback import is_loopback
from modelserver.rate import Allowance, RateLimit

_FORM_BYTES = 1 << 20  # what the parts of an upload take beside the file
_ANYONE = "anyone"  # who comes without a key where none is needed


class Guard:
    """Refuses before a body is read. `rate` None lets everybody ask as often as they like."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Keys,
        is_private: bool,
        rate: RateLimit | None,
        max_bytes: int,
        max_file_bytes: int,
    ) -> None:
        self._app = app
        self._keys = keys
        self._is_private = is_private
        self._rate = rate
        self._max_bytes = max_bytes
        self._max_file_bytes = max_file_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        allowance: Allowance | None = None
        try:
            caller = await self._identify(headers)
            if self._rate is not None:
                allowance = self._rate.take(caller)
                _check_rate(allowance)
            counted = self._count(scope["path"], headers.get("content-length", ""), receive)
        except ApiError as error:
            refusal = error_response(error)
            await refusal(scope, receive, _tell_allowance(send, allowance))
            return
        await self._app(scope, counted, _tell_allowance(send, allowance))

    async def _identify(self, headers: Headers) -> str:
        """The id of the caller's key. Without keys, all may come in from this machine."""
        if self._keys.is_stale:
            await asyncio.to_thread(self._keys.read)
        scheme, _, key = headers.get("authorization", "").partition(" ")
        known = self._keys.find(key.strip()) if scheme.lower() == "bearer" else None
        if known is None and (self._keys.are_needed or not self._is_private):
            raise UnauthorizedError(
                "Incorrect API key provided: send one as `Authorization: Bearer KEY`. "
                "`python -m modelserver keys add NAME` makes one."
            )
        if known is None:
            _check_is_local(headers)
        return known or _ANYONE

    def _count(self, path: str, content_length: str, receive: Receive) -> Receive:
        limit = self._max_bytes
        if path.rstrip("/") == "/v1/files":
            limit = self._max_file_bytes + _FORM_BYTES
        too_large = TooLargeError(
            f"The request is larger than {limit >> 20} MB: send less at once."
        )
        if content_length.isdecimal() and int(content_length) > limit:
            raise too_large
        left = limit

        async def receive_counted() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise too_large
            return message

        return receive_counted


def _check_is_local(headers: Headers) -> None:
    """A browser on this machine may be led here by anybody's page: by a form that is sent to us,
    or by a name of theirs that resolves to us. Either shows in these headers."""
    for name, prefix in (("host", "//"), ("origin", "")):
        value = headers.get(name)
        if value is not None and not _leads_here(prefix + value):
            raise UnauthorizedError(
                f"{name.title()} is {value[:100]!r}: without API keys only programs on this "
                "machine are answered, under `localhost` or a loopback address. `python -m "
                "modelserver keys add NAME` makes a key, with which any name will do."
            )


def _leads_here(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return is_loopback(host)


def _check_rate(allowance: Allowance) -> None:
    if allowance.wait_s > 0:
        error = BusyError(
            f"Rate limit reached: {allowance.limit} requests a minute for each key. Please try "
            f"again in {allowance.wait_s:.1f}s, or start the server with a larger "
            "--requests-per-minute."
        )
        error.retry_after_s = math.ceil(allowance.wait_s)
        raise error


def _tell_allowance(send: Send, allowance: Allowance | None) -> Send:
    """Adds the headers by which OpenAI's clients see how much is left."""
    if allowance is None:
        return send

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["x-ratelimit-limit-requests"] = str(allowance.limit)
            headers["x-ratelimit-remaining-requests"] = str(allowance.remaining)
            headers["x-ratelimit-reset-requests"] = f"{allowance.reset_s:.3f}s"
        await send(message)

    return send_with_headers


def error_response(error: ApiError) -> JSONResponse:
    headers = {"x-should-retry": "true" if error.status in (429, 503) else "false"}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error.body(), error.status, headers)
