"""SQLite for SQLAlchemy's asyncio: a connection that costs one hop to its thread a statement.

It stands in for aiosqlite's connection, under the same dialect. There, a cursor, its statement,
the rows and the end of the cursor are a hop to the thread each, and so are BEGIN and a rollback of
nothing: the hops cost more than SQLite. Here BEGIN goes with the first statement, the rows come
back with the statement that found them, and nobody waits for the end of a transaction that has
changed nothing. Messages go another way by now (docs/decisions/0027); what keeps it is that a
cancelled statement lets the writer's place go. aiosqlite 0.22 holds it until Python's collector
finds the cursor, and all others write nothing meanwhile.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread
from typing import Any, Self, TypeVar

_R = TypeVar("_R")
_Act = Callable[[], Any]
_Task = tuple[asyncio.Future[Any] | None, _Act]


class Connection:
    """What aiosqlite.Connection is to SQLAlchemy, as far as SQLAlchemy uses it."""

    isolation_level = None  # Python opens no transactions by itself

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._begin_first: str | None = None
        self._is_begun = False
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()

    def __await__(self) -> Generator[Any, None, Self]:
        return self._open().__await__()

    def begin(self, statement: str) -> None:
        """Begin a transaction, together with the next statement."""
        self._begin_first = statement

    def cursor(self) -> "Cursor":
        return Cursor(self)

    async def run(self, act: Callable[[sqlite3.Connection], _R]) -> _R:
        """Act in the connection's thread, after all that it was given before.

        Raises:
            sqlite3.Error: as the act does.
        """
        if (connection := self._connection) is None:
            raise ValueError("connection closed")  # SQLAlchemy knows these words
        first, self._begin_first = self._begin_first, None
        self._is_begun = self._is_begun or first is not None

        def begin_and_act() -> _R:
            if first is not None:
                connection.execute(first)
            return act(connection)

        return await self._hop(begin_and_act)

    async def commit(self) -> None:
        if self._is_begun and self._connection is not None:
            await self._hop(self._connection.commit)
            self._is_begun = False
        self._begin_first = None

    async def rollback(self) -> None:
        """The next statement comes after it in any case, so that nobody waits."""
        if self._is_begun and self._connection is not None:
            self._tasks.put((None, self._connection.rollback))
        self._begin_first, self._is_begun = None, False

    async def create_function(self, *args: Any, **options: Any) -> None:
        await self.run(lambda connection: connection.create_function(*args, **options))

    async def close(self) -> None:
        if (connection := self._connection) is not None:
            self._connection = None
            await self._hop(connection.close)
            self._tasks.put(None)

    def stop(self) -> None:
        """Close without waiting: also where no event loop runs any more."""
        if (connection := self._connection) is not None:
            self._connection = None
            self._tasks.put((None, connection.close))
        self._tasks.put(None)

    async def _open(self) -> Self:
        # A daemon, so that a connection which nobody closed keeps no program from its end.
        Thread(target=_work, args=(self._tasks,), name="sqlite", daemon=True).start()
        try:
            self._connection = await self._hop(self._connect)
        except BaseException:
            self._tasks.put(None)
            raise
        return self

    def _hop(self, act: Callable[[], _R]) -> Awaitable[_R]:
        future: asyncio.Future[_R] = asyncio.get_running_loop().create_future()
        self._tasks.put((future, act))
        return future


class Cursor:
    """One statement and all its rows."""

    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._outcome = _Outcome()

    @property
    def description(self) -> Any:
        return self._outcome.description

    @property
    def rowcount(self) -> int:
        return self._outcome.rowcount

    @property
    def lastrowid(self) -> int | None:
        return self._outcome.lastrowid

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, values: Sequence[Any] = ()) -> None:
        self._outcome = await self._connection.run(
            lambda connection: _take_all(connection.execute(statement, values))
        )

    async def executemany(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        self._outcome = await self._connection.run(
            lambda connection: _take_all(connection.executemany(statement, rows))
        )

    async def fetchall(self) -> list[Any]:
        return self._outcome.rows

    async def close(self) -> None:
        """It was closed in its thread, after the last row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Outcome:
    """What a statement brought, as PEP 249 has it."""

    rows: list[Any] = field(default_factory=list)
    description: Any = None
    rowcount: int = -1
    lastrowid: int | None = None


def _take_all(cursor: sqlite3.Cursor) -> _Outcome:
    rows = cursor.fetchall() if cursor.description else []
    outcome = _Outcome(
        rows=rows,
        description=cursor.description,
        rowcount=cursor.rowcount,
        lastrowid=cursor.lastrowid,
    )
    cursor.close()  # left to the event loop, it might wait there for a statement that runs here
    return outcome


def _work(tasks: SimpleQueue[_Task | None]) -> None:
    """The thread: one task after the other, until there is none."""
    while (task := tasks.get()) is not None:
        future, act = task
        try:
            result, error = act(), None
        except BaseException as raised:
            result, error = None, raised
        if future is None:
            continue
        with contextlib.suppress(RuntimeError):  # the event loop has gone
            future.get_loop().call_soon_threadsafe(_tell, future, result, error)


def _tell(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():  # nobody waits any more
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
