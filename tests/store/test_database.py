"""Sessions read one state, write as a whole or not at all, and wait for each other."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError, StatementError

from store import Conversation, Database, Run, Setting, Turn, conversation_id, utc_now
from store.conversation import Role


async def test_a_write_that_raises_leaves_nothing_behind(any_database: Database) -> None:
    async def write_and_fail() -> None:
        async with any_database.write() as session:
            session.add(Setting(key="k", value=1, updated_by="t"))
            await session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await write_and_fail()
    async with any_database.read() as session:
        assert await session.scalar(select(func.count()).select_from(Setting)) == 0


async def test_many_writers_at_once_all_get_their_turn(any_database: Database) -> None:
    async with any_database.write() as session:
        session.add(Setting(key="n", value=0, updated_by="t"))

    async def add_one() -> None:
        async with any_database.write() as session:
            setting = await session.get_one(Setting, "n", with_for_update=True)
            setting.value += 1

    await asyncio.gather(*(add_one() for _ in range(40)))
    async with any_database.read() as session:
        assert (await session.get_one(Setting, "n")).value == 40


async def test_a_repeated_delivery_is_refused_by_the_database(any_database: Database) -> None:
    cid = conversation_id("web", "a")
    async with any_database.write() as session:
        session.add(Conversation(id=cid, channel="web", address="a"))

    async def deliver(seq: int) -> None:
        async with any_database.write() as session:
            session.add(
                Turn(conversation_id=cid, seq=seq, role=Role.customer, text="hi", delivery_id="d")
            )

    await deliver(seq=1)
    with pytest.raises(IntegrityError):
        await deliver(seq=2)


async def test_only_one_run_is_active(any_database: Database) -> None:
    async with any_database.write() as session:
        session.add(Run(trigger="command", base_model="b"))

    async def start_another() -> None:
        async with any_database.write() as session:
            session.add(Run(trigger="console", base_model="b"))

    with pytest.raises(IntegrityError):
        await start_another()
    async with any_database.write() as session:
        run = await session.scalar(select(Run))
        assert run is not None
        run.is_active = False
    await start_another()


async def test_times_come_back_aware_and_in_utc(any_database: Database) -> None:
    at = datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=8)))
    cid = conversation_id("web", "a")
    async with any_database.write() as session:
        session.add(Conversation(id=cid, channel="web", address="a", wants_person_at=at))
    async with any_database.read() as session:
        kept = (await session.get_one(Conversation, cid)).wants_person_at
    assert kept == at
    assert kept is not None
    assert kept.tzinfo is UTC


async def test_a_naive_time_is_refused(database: Database) -> None:
    with pytest.raises(StatementError, match="naive"):
        async with database.write() as session:
            session.add(
                Conversation(
                    id="x", channel="c", address="a", created_at=utc_now().replace(tzinfo=None)
                )
            )


async def test_what_is_no_number_is_kept_as_nothing(any_database: Database) -> None:
    """PostgreSQL refuses NaN in JSON, and what reads it elsewhere may too."""
    value = {"loss": float("nan"), "of": [1.5, float("inf")]}
    async with any_database.write() as session:
        session.add(Setting(key="k", value=value, updated_by="t"))
    async with any_database.read() as session:
        kept = await session.get_one(Setting, "k")
    assert kept.value == {"loss": None, "of": [1.5, None]}
