"""Runs generations for an endpoint: whole or as server-sent events, until the client has gone."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse

from modelserver.engine import Chunk
from modelserver.errors import ApiError

T = TypeVar("T")

CHOICES = 128  # OpenAI's limit for `n`


class ClientGoneError(ApiError):
    """Nobody is there to read it; the status is for the log."""

    status = 499
    type = "invalid_request_error"
    code = "client_gone"


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled as soon as the client disconnects."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_wait_for_disconnect(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGoneError("The client has disconnected.")
    finally:
        task.cancel()
        gone.cancel()


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def stream_events(
    request: Request, chunks: AsyncGenerator[Chunk], *, are_named: bool = False
) -> StreamingResponse:
    """Waits for the first chunk, so that what is wrong with a request is still a status code.

    Named events are those of /v1/responses, each with its type before its data.
    """
    first = await unless_gone(request, _first(chunks))
    events = _write_named(first, chunks) if are_named else _write_events(first, chunks)
    return StreamingResponse(events, media_type="text/event-stream")


async def _first(chunks: AsyncIterator[Chunk]) -> Chunk | None:
    return await anext(chunks, None)


async def _write_events(first: Chunk | None, chunks: AsyncGenerator[Chunk]) -> AsyncIterator[str]:
    async with aclosing(chunks):
        try:
            if first is not None:
                yield _write_event(first)
            async for chunk in chunks:
                yield _write_event(chunk)
        except ApiError as error:  # too late for a status
            yield _write_event(error.body())
    yield "data: [DONE]\n\n"


async def _write_named(first: Chunk | None, chunks: AsyncGenerator[Chunk]) -> AsyncIterator[str]:
    async with aclosing(chunks):
        if first is not None:
            yield f"event: {first['type']}\n{_write_event(first)}"
        async for chunk in chunks:
            yield f"event: {chunk['type']}\n{_write_event(chunk)}"


def _write_event(value: Any) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n"


def add_usage(usages: list[dict[str, Any]], n: int) -> dict[str, Any]:
    """One count for all choices of a request; a prompt that `n` of them share counts once."""
    prompt = sum(usage["prompt_tokens"] for usage in usages[::n])
    completion = sum(usage["completion_tokens"] for usage in usages)
    cached = max(
        (usage.get("prompt_tokens_details", {}).get("cached_tokens", 0) for usage in usages),
        default=0,
    )
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
    }
