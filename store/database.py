"""The database: SQLite in WAL mode by default, PostgreSQL by its URL.

    database = Database("sqlite+aiosqlite:////data/nod.db")
    async with database.read() as session: ...
    async with database.write() as session: ...   # commits at the end, or rolls back

Never await a model or a channel inside either: a session is held for milliseconds. What every
message does goes without one, as a whole transaction that costs a fraction of it:

    turn = await database.run_write(append_turn, id_, Role.customer, "How long?")
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from math import isfinite
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from sqlalchemy import URL, Connection, Engine, Row, Select, create_engine, event, make_url
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from store import sqlite
from store.text import clean_values
from store.transactions import THREADS, AwaitedTransactions, ThreadTransactions, Transactions

_P = ParamSpec("_P")
_R = TypeVar("_R")

SQLITE_BUSY_TIMEOUT_S = 15
LOG_BUSY_TIMEOUT_S, LOG_TRIES = 1, 5
"""For emptying the log: writers wait as long as it waits for readers."""

Executor = Session | Connection
"""What carries out a statement within a transaction. Where there is an AsyncSession, its `run_sync`
gives the session to a function that takes this."""


class Database:
    """Two kinds of session, read and write, and whole transactions of both kinds."""

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
        _clean_what_it_is_given(self._engine.sync_engine)
        self._transactions: Transactions = AwaitedTransactions(self._engine)
        if self.is_sqlite:
            event.listen(self._engine.sync_engine, "begin", _begin_with_statement)
            self._transactions = ThreadTransactions(_blocking_sqlite(self.url))
        self._read = async_sessionmaker(self._engine, expire_on_commit=False)
        writing = self._engine.execution_options(writes=True)
        self._write = async_sessionmaker(writing, expire_on_commit=False)
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

    async def run_read(
        self, act: Callable[Concatenate[Connection, _P], _R], *args: _P.args, **kw: _P.kwargs
    ) -> _R:
        """What an act reads, given a connection: a whole transaction, for what is done often.

        It may run in another thread, waits for nothing but the database, and changes nothing that
        the event loop uses meanwhile.
        """
        return await self._transactions.run(lambda c: act(c, *args, **kw), writes=False)

    async def run_write(
        self, act: Callable[Concatenate[Connection, _P], _R], *args: _P.args, **kw: _P.kwargs
    ) -> _R:
        """As `run_read`, for an act that writes; it commits at its end. Not to be nested."""
        async with self._writer:
            return await self._transactions.run(lambda c: act(c, *args, **kw), writes=True)

    async def fetch_all(
        self, statement: Select[*tuple[Any, ...]], values: Mapping[str, object]
    ) -> Sequence[Row[*tuple[Any, ...]]]:
        """All rows of one statement."""
        return await self.run_read(_fetch_all, statement, values)

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
        await self._transactions.close()
        await self._engine.dispose()


def _engine_options(url: URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        # The one used last knows its statements best. None beyond: a connection is a thread.
        pool = {"pool_size": 16, "max_overflow": 0, "pool_use_lifo": True}
        connect = partial(_open_sqlite, url.database or "")
        return {"async_creator": lambda: sqlite.Connection(connect), **pool}
    return {"pool_size": 10, "max_overflow": 20, "pool_pre_ping": True}


def _blocking_sqlite(url: URL) -> Engine:
    """The same database for the threads of whole transactions, by the driver itself."""
    engine = create_engine(
        "sqlite://",
        creator=partial(_open_sqlite, url.database or ""),
        hide_parameters=True,
        json_serializer=_as_json,
        poolclass=QueuePool,
        pool_size=THREADS,
        max_overflow=0,
        pool_use_lifo=True,
    )
    _clean_what_it_is_given(engine)
    event.listen(engine, "begin", _begin_at_once)
    return engine


def _open_sqlite(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        timeout=SQLITE_BUSY_TIMEOUT_S,
        isolation_level=None,  # the driver's own BEGIN is deferred, ours is chosen below
        check_same_thread=False,  # who opens it sees to it: one thread at a time
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


def _fetch_all(
    connection: Connection, statement: Select[*tuple[Any, ...]], values: Mapping[str, object]
) -> Sequence[Row[*tuple[Any, ...]]]:
    return connection.execute(statement, values).all()


def _clean_what_it_is_given(engine: Engine) -> None:
    event.listen(engine, "before_cursor_execute", _clean_parameters, retval=True)


def _clean_parameters(
    _connection: Connection, _cursor: object, statement: str, parameters: Any, *_: object
) -> tuple[str, Any]:
    """Whatever is stored or looked for: PostgreSQL refuses a NUL, UTF-8 half a surrogate pair."""
    return statement, clean_values(parameters)


def _as_json(value: object) -> str:
    cleaned = clean_values(value)
    try:
        return json.dumps(cleaned, allow_nan=False)
    except ValueError:
        return json.dumps(_without_nan(cleaned))


def _without_nan(value: Any) -> Any:
    """PostgreSQL refuses what is no JSON, such as the loss of a training that diverged."""
    match value:
        case float():
            return value if isfinite(value) else None
        case list() | tuple():
            return [_without_nan(each) for each in value]
        case dict():
            return {key: _without_nan(each) for key, each in value.items()}
    return value


def _begin_with_statement(connection: Connection) -> None:
    cast(sqlite.Connection, _driver(connection)).begin(_begin(connection))


def _begin_at_once(connection: Connection) -> None:
    # Through SQLAlchemy, so that a locked database is one of its errors, as everywhere.
    connection.exec_driver_sql(_begin(connection))


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _begin(connection: Connection) -> str:
    # A deferred transaction that turns into a writer fails at once when another one writes;
    # an immediate one waits its turn.
    writes = connection.get_execution_options().get("writes", False)
    return "BEGIN IMMEDIATE" if writes else "BEGIN"
