"""A whole transaction is done or not done, and nobody else writes in the middle of it."""

import asyncio
import threading

import pytest
from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import OperationalError

from store import Database, Setting

COUNT = select(func.count()).select_from(Setting)


def add(connection: Connection, key: str) -> None:
    connection.execute(insert(Setting).values(key=key, value=0, updated_by="t"))


def add_and_fail(connection: Connection) -> None:
    add(connection, "k")
    raise RuntimeError("no")


def add_one(connection: Connection, key: str) -> int:
    before = connection.execute(
        select(Setting.value).where(Setting.key == key).with_for_update()
    ).scalar_one()
    connection.execute(update(Setting).where(Setting.key == key).values(value=before + 1))
    return int(before)


async def count(database: Database) -> int:
    ((found,),) = await database.fetch_all(COUNT, {})
    return int(found)


async def test_an_act_that_raises_leaves_nothing_behind(any_database: Database) -> None:
    with pytest.raises(RuntimeError, match="no"):
        await any_database.run_write(add_and_fail)
    assert await count(any_database) == 0
    await any_database.run_write(add, "k")
    assert await count(any_database) == 1


async def test_many_acts_and_sessions_at_once_all_get_their_turn(any_database: Database) -> None:
    await any_database.run_write(add, "n")

    async def add_one_in_a_session() -> None:
        async with any_database.write() as session:
            setting = await session.get_one(Setting, "n", with_for_update=True)
            setting.value += 1

    acts = (any_database.run_write(add_one, "n") for _ in range(20))
    results = await asyncio.gather(*acts, *(add_one_in_a_session() for _ in range(20)))
    assert len(set(results[:20])) == 20, "each act saw what the ones before it had written"
    async with any_database.read() as session:
        assert (await session.get_one(Setting, "n")).value == 40


async def test_an_act_reads_one_state_of_the_database(database: Database) -> None:
    """What is written between its statements is not in it."""
    read_once, may_go_on = threading.Event(), threading.Event()

    def count_twice(connection: Connection) -> tuple[int, int]:
        before = connection.scalar(COUNT) or 0
        read_once.set()
        assert may_go_on.wait(10)
        return before, connection.scalar(COUNT) or 0

    reading = asyncio.create_task(database.run_read(count_twice))
    await asyncio.to_thread(read_once.wait, 10)
    await database.run_write(add, "k")
    may_go_on.set()
    assert await reading == (0, 0)
    assert await count(database) == 1


async def test_an_act_for_reading_stores_nothing(database: Database) -> None:
    await database.run_read(add, "k")
    assert await count(database) == 0


async def test_who_is_cancelled_lets_nobody_write_before_the_act_has_ended(
    database: Database,
) -> None:
    began, may_end = threading.Event(), threading.Event()

    def add_slowly(connection: Connection) -> None:
        began.set()
        assert may_end.wait(10)
        add(connection, "slow")

    slow = asyncio.create_task(database.run_write(add_slowly))
    await asyncio.to_thread(began.wait, 10)
    slow.cancel()
    await asyncio.sleep(0)
    slow.cancel()  # an impatient one changes nothing
    other = asyncio.create_task(database.run_write(add, "other"))
    await asyncio.sleep(0.05)
    assert not slow.done()
    assert not other.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await slow
    await other
    assert await count(database) == 2


async def test_the_event_loop_goes_on_while_an_act_blocks(database: Database) -> None:
    may_end = threading.Event()
    act = asyncio.create_task(database.run_read(lambda _connection: may_end.wait(10)))
    await asyncio.sleep(0.01)
    may_end.set()  # by the loop itself, which an act in its thread would not let come here
    assert await act


async def test_a_locked_database_is_an_error_of_sqlalchemy(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By it the channels know that a message is to be fetched again."""
    monkeypatch.setattr("store.database.SQLITE_BUSY_TIMEOUT_S", 0.1)
    other = Database(str(database.url))
    async with database.write() as session:
        await session.execute(COUNT)  # begins it
        with pytest.raises(OperationalError, match="locked"):
            await other.run_write(add, "k")
    await other.close()
    assert await count(database) == 0


async def test_an_act_that_raises_stop_iteration_ends_in_an_error(any_database: Database) -> None:
    """A future takes no StopIteration: whoever awaits it would wait for ever."""
    with pytest.raises(RuntimeError):
        async with asyncio.timeout(5):
            await any_database.run_write(lambda _connection: next(iter(())))
