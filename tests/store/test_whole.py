"""Work that is seen through ends, whatever happens to who waits for it."""

import asyncio

import pytest

from store.whole import see_through


async def test_its_result_and_its_error_are_handed_on() -> None:
    async def work(is_good: bool) -> int:
        await asyncio.sleep(0)
        if not is_good:
            raise ValueError("no")
        return 7

    assert await see_through(work(True)) == 7
    with pytest.raises(ValueError, match="no"):
        await see_through(work(False))


async def test_it_ends_before_the_cancellation_is_passed_on_however_often_that_comes() -> None:
    may_end, steps = asyncio.Event(), list[str]()

    async def work() -> None:
        steps.append("begun")
        await may_end.wait()
        steps.append("ended")

    waiting = asyncio.create_task(see_through(work()))
    await asyncio.sleep(0)
    for _ in range(3):
        waiting.cancel()
        await asyncio.sleep(0.01)
    assert not waiting.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert steps == ["begun", "ended"]


async def test_work_that_is_itself_cancelled_ends_the_waiting() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await see_through(work())
