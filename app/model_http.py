"""HTTP to the models' endpoints, by aiohttp, with errors that say what happened.

Its parser is written in C: a streamed word costs half of what it does with h11.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import httpx2
from openai import DefaultAioHttpClient


class ModelHttp(DefaultAioHttpClient):
    """What `AsyncOpenAI` sends its requests by.

    Left alone, an endpoint that refuses the connection "timed out", and one that does not speak
    HTTP raises aiohttp's own error, which nobody who calls a model knows.
    """

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        with _telling(request):
            response = await super().send(request, **options)
        if not response.is_closed and isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _Telling(response.stream, request)
        return response


class _Telling(httpx2.AsyncByteStream):
    """The body of a response, as it comes."""

    def __init__(self, stream: httpx2.AsyncByteStream, request: httpx2.Request) -> None:
        self._stream = stream
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _telling(self._request):
            async for chunk in self._stream:
                yield chunk

    async def aclose(self) -> None:
        with _telling(self._request):
            await self._stream.aclose()


@contextmanager
def _telling(request: httpx2.Request) -> Iterator[None]:
    try:
        yield
    except httpx2.TimeoutException as error:
        cause = error.__cause__
        if not isinstance(cause, aiohttp.ClientError) or isinstance(cause, TimeoutError):
            raise
        is_refused = isinstance(cause, aiohttp.ClientConnectorError)
        kind = httpx2.ConnectError if is_refused else httpx2.RemoteProtocolError
        raise kind(str(cause), request=request) from cause
    except aiohttp.ClientError as error:
        raise httpx2.RemoteProtocolError(str(error), request=request) from error
