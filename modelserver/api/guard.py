"""Stands before the API: keys, and how many bytes a request may bring."""

import hashlib
import hmac
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelserver.errors import ApiError, TooLargeError, UnauthorizedError

_FORM_BYTES = 1 << 20  # what the parts of an upload take beside the file


class Guard:
    """Refuses before a body is read. Keys are kept as hashes; without keys all may come in."""

    def __init__(
        self, app: ASGIApp, *, api_keys: Sequence[str], max_bytes: int, max_file_bytes: int
    ) -> None:
        self._app = app
        self._hashes = [_hash(key) for key in api_keys]
        self._max_bytes = max_bytes
        self._max_file_bytes = max_file_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._check_key(headers.get("authorization", ""))
            counted = self._count(scope["path"], headers.get("content-length", ""), receive)
        except ApiError as error:
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, counted, send)

    def _check_key(self, authorization: str) -> None:
        scheme, _, key = authorization.partition(" ")
        given = _hash(key.strip())
        # All are compared, so that the time taken tells nothing.
        matches = [hmac.compare_digest(given, known) for known in self._hashes]
        if self._hashes and not (scheme.lower() == "bearer" and any(matches)):
            raise UnauthorizedError(
                "Incorrect API key provided: send one that the server was started with as "
                "`Authorization: Bearer KEY`."
            )

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


def error_response(error: ApiError) -> JSONResponse:
    headers = {"x-should-retry": "true"} if error.status in (429, 503) else {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error.body(), error.status, headers)


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
