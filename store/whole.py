"""What must not be broken off in its middle, though whoever waits for it may be cancelled."""

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import TypeVar

_R = TypeVar("_R")


async def see_through(work: Awaitable[_R]) -> _R:
    """Wait for work to its very end, also when cancelled meanwhile; the cancellation comes after.

    Raises:
        asyncio.CancelledError: the caller was cancelled; the work has ended all the same.
    """
    ending = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(ending)
    except asyncio.CancelledError:
        while not ending.done():
            with contextlib.suppress(asyncio.CancelledError):  # cancelled again
                await asyncio.wait([ending])
        if not ending.cancelled():
            ending.exception()  # nobody else asks for it
        raise
