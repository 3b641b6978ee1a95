"""What a client of a model hears when its endpoint is not there, or is none."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from openai import APIConnectionError, APITimeoutError, AsyncOpenAI

from app.model_http import ModelHttp

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

Write = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def answering(write: Write) -> AsyncIterator[int]:
    """A port where each request gets what `write` sends, and then the end of the connection."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await write(writer)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def sending(data: bytes) -> Write:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return write


async def ask(port: int, *, timeout_s: float = 20.0) -> list[str]:
    """The words of a streamed answer."""
    url = f"http://127.0.0.1:{port}/v1"
    async with AsyncOpenAI(
        base_url=url, api_key="k", timeout=timeout_s, max_retries=0, http_client=ModelHttp()
    ) as client:
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Hello?"}], stream=True
        )
        return [chunk.choices[0].delta.content or "" async for chunk in stream]


async def test_a_refused_connection_is_none_that_timed_out() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and does not listen
        with pytest.raises(APIConnectionError) as away:
            await ask(free.getsockname()[1])
    assert not isinstance(away.value, APITimeoutError)
    assert "Cannot connect" in str(away.value.__cause__)


@pytest.mark.parametrize(
    "data",
    [b"", b"SSH-2.0-OpenSSH_9.9\r\n", _HEAD + b"ZZZ\r\n", _HEAD + b"9\r\ndata"],
    ids=["nothing", "no HTTP", "no length of a chunk", "half a chunk"],
)
async def test_what_is_no_answer_is_a_connection_error_that_may_be_tried_again(data: bytes) -> None:
    async with answering(sending(data)) as port:
        with pytest.raises(APIConnectionError) as away:
            await ask(port)
    assert not isinstance(away.value, APITimeoutError)


async def test_silence_is_a_time_out() -> None:
    is_over = asyncio.Event()

    async def stay(_writer: asyncio.StreamWriter) -> None:
        await is_over.wait()

    async with answering(stay) as port:
        with pytest.raises(APITimeoutError):
            await ask(port, timeout_s=0.2)
        is_over.set()


async def test_a_stream_comes_whole() -> None:
    said = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\n'
    chunk = f"{len(said):x}\r\n".encode() + said + b"\r\n"
    async with answering(sending(_HEAD + chunk * 3 + b"0\r\n\r\n")) as port:
        assert await ask(port) == ["Hi"] * 3
