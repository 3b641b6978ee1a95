"""One holder of a duty at a time, also in PostgreSQL."""

import asyncio

from app.lease import Duty
from store import Database


async def test_of_many_who_ask_at_once_one_gets_the_duty(any_database: Database) -> None:
    duties = [Duty(any_database, "scheduler", f"p{n}", lease_s=60) for n in range(5)]
    assert sorted(await asyncio.gather(*(duty.take() for duty in duties))) == [False] * 4 + [True]


async def test_the_holder_renews_it_and_gives_it_back(any_database: Database) -> None:
    first = Duty(any_database, "scheduler", "first", lease_s=60)
    second = Duty(any_database, "scheduler", "second", lease_s=60)
    assert await first.take()
    assert await first.take()
    assert not await second.take()
    await second.give_back()  # not its own to give
    assert not await second.take()
    await first.give_back()
    assert await second.take()


async def test_a_dead_holders_duty_is_taken_when_the_lease_is_over(any_database: Database) -> None:
    assert await Duty(any_database, "scheduler", "dead", lease_s=-1).take()
    assert await Duty(any_database, "scheduler", "alive", lease_s=60).take()
