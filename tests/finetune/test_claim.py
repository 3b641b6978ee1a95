"""A claim on the active run is kept for as long as its holder works."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from finetune.claim import Claim
from store import Database, Run, utc_now
from tests.finetune.test_retrain import request

LEASE_S = 0.6


async def test_a_database_that_fails_for_a_moment_costs_nobody_the_claim(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await request(database)
    ours, other = Claim(database, "ours", LEASE_S), Claim(database, "other", LEASE_S)
    run = await ours.take()
    assert run is not None
    async with ours.keep(run):
        monkeypatch.setattr(ours, "_database", SimpleNamespace(write=fail_first(database)))
        for _ in range(8):
            await asyncio.sleep(LEASE_S / 4)
            assert await other.take() is None
    async with database.write() as session:
        await ours.settle(session, run)
    assert await other.take() is not None


async def test_a_step_that_is_broken_off_by_the_end_gives_the_claim_back(
    any_database: Database,
) -> None:
    await request(any_database)
    ours, other = Claim(any_database, "ours", 60), Claim(any_database, "other", 60)
    run = await ours.take()
    assert run is not None

    async def work() -> None:
        async with ours.keep(run):
            await asyncio.sleep(60)

    working = asyncio.create_task(work())
    await asyncio.sleep(0.1)
    assert await other.take() is None
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert await other.take() is not None


def fail_first(database: Database) -> object:
    write, failed = database.write, False

    @asynccontextmanager
    async def fragile() -> AsyncIterator[AsyncSession]:
        nonlocal failed
        if not failed:
            failed = True
            raise OperationalError("UPDATE run", {}, Exception("database is locked"))
        async with write() as session:
            yield session

    return fragile


async def test_a_clock_that_is_set_back_keeps_nobody_from_the_run(database: Database) -> None:
    """Both times were written while the clock was a day ahead."""
    run = await request(database)
    tomorrow = utc_now() + timedelta(days=1)
    async with database.write() as session:
        ahead = {"due_at": tomorrow, "claimed_until": tomorrow, "claimed_by": "killed"}
        await session.execute(update(Run).values(ahead))
    taken = await Claim(database, "ours", LEASE_S).take()
    assert taken is not None
    assert taken.id == run.id


async def test_a_provider_that_asks_for_an_hour_gets_it(database: Database) -> None:
    await request(database)
    async with database.write() as session:
        await session.execute(update(Run).values(due_at=utc_now() + timedelta(seconds=3601)))
    assert await Claim(database, "ours", LEASE_S).take() is None
