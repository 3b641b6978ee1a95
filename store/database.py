"""The database: SQLite in WAL mode by default, PostgreSQL by its URL.

    database = Database("sqlite+aiosqlite:////data/nod.db")
    async with database.read() as session: ...
    async with database.write() as session: ...   # commits at the end, or rolls back

Never await a model or a channel inside either: a session is held for milliseconds.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from sqlalchemy import event, make_url
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

SQLITE_BUSY_TIMEOUT_S = 15


class Database:
    """Two kinds of session over one engine: read, and write."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        # Errors would show parameters, and these hold what customers wrote.
        self._engine = create_async_engine(
            self.url, hide_parameters=True, **_engine_options(self.is_sqlite)
        )
        if self.is_sqlite:
            event.listen(self._engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self._engine.sync_engine, "begin", _begin_sqlite)
        self._read = async_sessionmaker(self._engine, expire_on_commit=False)
        self._write = async_sessionmaker(
            self._engine.execution_options(writes=True), expire_on_commit=False
        )
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

    async def close(self) -> None:
        await self._engine.dispose()


def _engine_options(is_sqlite: bool) -> dict[str, Any]:
    if is_sqlite:
        return {"connect_args": {"timeout": SQLITE_BUSY_TIMEOUT_S}, "pool_size": 8}
    return {"pool_size": 10, "max_overflow": 20, "pool_pre_ping": True}


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN is deferred, ours is chosen below
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")  # a killed process loses nothing in WAL mode
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that turns into a writer fails at once when another one writes;
    # an immediate one waits its turn.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
