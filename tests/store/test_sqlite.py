"""The connection keeps SQLite's promises: when cancelled, locked out, rolled back or closed."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import delete, select, text
from sqlalchemy.exc import OperationalError

from store import Database, Setting
from store import database as database_module
from store.sqlite import Connection

_ENDLESS = text(
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000000) "
    "select count(*) from n"
)


def _open(path: Path) -> Connection:
    return Connection(
        lambda: sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    )


async def test_a_cancelled_statement_leaves_the_database_fit_for_the_next(
    database: Database,
) -> None:
    async def write_slowly() -> None:
        async with database.write() as session:
            session.add(Setting(key="k", value=1, updated_by="t"))
            await session.flush()
            await session.execute(_ENDLESS)

    slow = asyncio.create_task(write_slowly())
    await asyncio.sleep(0.05)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    async with database.write() as session:
        assert await session.scalar(select(Setting)) is None
        session.add(Setting(key="k", value=2, updated_by="t"))
    async with database.read() as session:
        assert (await session.get_one(Setting, "k")).value == 2


async def test_a_slow_statement_does_not_block_the_event_loop(database: Database) -> None:
    turns_of_the_loop = 0
    async with database.read() as session:
        slow = asyncio.create_task(session.execute(_ENDLESS))
        while not slow.done():
            await asyncio.sleep(0)
            turns_of_the_loop += 1
    assert turns_of_the_loop > 10


async def test_nothing_begins_before_there_is_something_to_do(tmp_path: Path) -> None:
    first, second = await _open(tmp_path / "x.db"), await _open(tmp_path / "x.db")
    first.begin("BEGIN IMMEDIATE")
    second.begin("BEGIN IMMEDIATE")
    await first.cursor().execute("create table t (x)")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await second.cursor().execute("insert into t values (1)")
    await second.rollback()
    await first.commit()
    second.begin("BEGIN IMMEDIATE")
    await second.cursor().execute("insert into t values (1)")
    await second.commit()
    cursor = first.cursor()
    await cursor.execute("select x from t")
    assert await cursor.fetchall() == [(1,)]
    await first.close()
    await second.close()


async def test_what_was_rolled_back_is_gone_for_the_next_statement(tmp_path: Path) -> None:
    connection = await _open(tmp_path / "x.db")
    await connection.cursor().execute("create table t (x)")
    connection.begin("BEGIN")
    await connection.cursor().execute("insert into t values (1)")
    await connection.rollback()
    cursor = connection.cursor()
    await cursor.execute("select count(*) from t")
    assert await cursor.fetchall() == [(0,)]
    await connection.close()


async def test_a_closed_connection_says_so(tmp_path: Path) -> None:
    connection = await _open(tmp_path / "x.db")
    await connection.close()
    await connection.close()
    with pytest.raises(ValueError, match="connection closed"):
        await connection.cursor().execute("select 1")


async def test_a_file_that_is_no_database_is_an_error_of_the_database(tmp_path: Path) -> None:
    (tmp_path / "x.db").mkdir()
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(OperationalError, match="unable to open"):
        async with database.read() as session:
            await session.execute(text("select 1"))
    await database.close()


async def test_what_was_deleted_is_in_no_file_once_the_log_is_empty(
    database: Database, tmp_path: Path
) -> None:
    for key, value in (("short", "zanzibar"), ("long", "zanzibar " * 2000)):
        async with database.write() as session:
            session.add(Setting(key=key, value=value, updated_by="t"))
        async with database.write() as session:  # written anew elsewhere in the file
            (await session.get_one(Setting, key)).value = f"{value} {value}"
    async with database.write() as session:
        await session.execute(delete(Setting))
    assert await database.empty_log()
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert {path.name for path in files} >= {"nod.db"}
    assert [path.name for path in files if b"zanzibar" in path.read_bytes()] == []


async def test_a_log_that_somebody_reads_is_left_and_said_so(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "LOG_TRIES", 1)
    async with database.read() as reader:
        await reader.scalar(select(Setting.key))
        async with database.write() as session:
            session.add(Setting(key="k", value=1, updated_by="t"))
        assert not await database.empty_log()
    assert await database.empty_log()
