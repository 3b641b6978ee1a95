"""The database: SQLite in WAL mode by default, PostgreSQL by its URL.

    database = Database("sqlite+aiosqlite:////data/nod.db")
    async with database.read() as session: ...
    async with database.write() as session: ...   # commits at the end, or rolls back

Never await a model or a channel inside either: a session is held for milliseconds. What every
message does goes without a session, at half its cost: `read_core`, `write_core`.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import Any, cast

from sqlalchemy import URL, event, make_url
from sqlalchemy.engine import Connection as SyncConnection
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from store.sqlite import Connection
from store.text import clean_values

SQLITE_BUSY_TIMEOUT_S = 15
LOG_BUSY_TIMEOUT_S, LOG_TRIES = 1, 5
"""For emptying the log: writers wait as long as it waits for readers."""

Executor = AsyncSession | AsyncConnection
"""What carries out a statement."""


class Database:
    """Two kinds of session over one engine, read and write, and the same without the ORM."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        # Errors would show parameters, and these hold what customers wrote.
        self._engine = create_async_engine(
            self.url,
            hide_parameters=True,
            json_serializer=_as_json,
            **_engine_options(self.url),
        )
        event.listen(
            self._engine.sync_engine, "before_cursor_execute", _clean_parameters, retval=True
        )
        if self.is_sqlite:
            event.listen(self._engine.sync_engine, "begin", _begin_sqlite)
        self._read = async_sessionmaker(self._engine, expire_on_commit=False)
        self._writing_engine = self._engine.execution_options(writes=True)
        self._write = async_sessionmaker(self._writing_engine, expire_on_commit=False)
        # SQLite has one writer; waiting here is fair and costs no spinning.
        self._writer: Any = asyncio.Lock() if self.is_sqlite else nullcontext()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session that sees one state of the database and changes nothing."""
        async with self._read() as session:
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A transaction: commits at the end of the block, rolls back when it raises.

        Not to be nested: SQLite has one writer.
        """
        async with self._writer, self._write.begin() as session:
            yield session

    @asynccontextmanager
    async def read_core(self) -> AsyncIterator[AsyncConnection]:
        """As `read`: rows instead of objects, for statements that every message makes."""
        async with self._engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write_core(self) -> AsyncIterator[AsyncConnection]:
        """As `write`, and not to be nested either; see `store.core`."""
        async with self._writer, self._writing_engine.begin() as connection:
            yield connection

    async def empty_log(self) -> bool:
        """Have SQLite's write-ahead log hold nothing any more of what was deleted.

        False where somebody went on reading from it; then it goes when the log is next begun anew.
        """
        if not self.is_sqlite:
            return True
        for left in reversed(range(LOG_TRIES)):
            if await asyncio.to_thread(_empty_log, self.url.database or ""):
                return True
            await asyncio.sleep(LOG_BUSY_TIMEOUT_S if left else 0)
        return False

    async def close(self) -> None:
        await self._engine.dispose()


def _engine_options(url: URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        # The one used last knows its statements best. None beyond: a connection is a thread.
        pool = {"pool_size": 16, "max_overflow": 0, "pool_use_lifo": True}
        connect = partial(_open_sqlite, url.database or "")
        return {"async_creator": lambda: Connection(connect), **pool}
    return {"pool_size": 10, "max_overflow": 20, "pool_pre_ping": True}


def _open_sqlite(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        timeout=SQLITE_BUSY_TIMEOUT_S,
        isolation_level=None,  # the driver's own BEGIN is deferred, ours is chosen below
        check_same_thread=False,  # its thread is Connection's business
        cached_statements=500,
    )
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")  # a killed process loses nothing in WAL mode
    connection.execute("PRAGMA foreign_keys=ON")
    # What is deleted or written anew is overwritten, so that who was forgotten is in no free page.
    connection.execute("PRAGMA secure_delete=ON")
    return connection


def _empty_log(path: str) -> bool:
    connection = sqlite3.connect(path, timeout=LOG_BUSY_TIMEOUT_S)
    try:
        is_busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError:  # somebody writes, or sets up the log
        return False
    finally:
        connection.close()
    return not is_busy


def _clean_parameters(
    _connection: SyncConnection, _cursor: object, statement: str, parameters: Any, *_: object
) -> tuple[str, Any]:
    """Whatever is stored or looked for: PostgreSQL refuses a NUL, UTF-8 half a surrogate pair."""
    return statement, clean_values(parameters)


def _as_json(value: object) -> str:
    return json.dumps(clean_values(value))


def _begin_sqlite(connection: SyncConnection) -> None:
    # A deferred transaction that turns into a writer fails at once when another one writes;
    # an immediate one waits its turn.
    writes = connection.get_execution_options().get("writes", False)
    driver = cast(Connection, connection.connection.driver_connection)
    driver.begin("BEGIN IMMEDIATE" if writes else "BEGIN")
