"""Whole transactions: what every message reads and stores, without waiting in the middle of it.

A transaction is given as a function of a connection. SQLite's is carried out in a thread, whole:
one hop there and back, where a session makes one for each statement and holds the one writer's
place while the event loop is busy elsewhere. PostgreSQL's waits for its server as a session does.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from store.whole import see_through

_R = TypeVar("_R")
Act = Callable[[Connection], _R]

THREADS = 4
"""Reads at the same time; more only wait for the interpreter."""


class Transactions(Protocol):
    """Carries out an act, and commits if it writes; when it raises, nothing was done."""

    async def run(self, act: Act[_R], *, writes: bool) -> _R: ...
    async def close(self) -> None: ...


class ThreadTransactions:
    """For a driver that blocks: a thread for each transaction under way."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(THREADS, "transaction")

    async def run(self, act: Act[_R], *, writes: bool) -> _R:
        run = self._write if writes else self._read
        loop = asyncio.get_running_loop()
        # The thread goes on in any case; nobody else may write before it has ended.
        return await see_through(loop.run_in_executor(self._threads, run, act))

    async def close(self) -> None:
        self._threads.shutdown(wait=False)
        self._engine.dispose()

    def _read(self, act: Act[_R]) -> _R:
        with self._engine.connect() as connection:
            return _carry_out(act, connection)

    def _write(self, act: Act[_R]) -> _R:
        with self._engine.execution_options(writes=True).begin() as connection:
            return _carry_out(act, connection)


def _carry_out(act: Act[_R], connection: Connection) -> _R:
    try:
        return act(connection)
    except StopIteration as error:  # no future takes it: whoever waits would wait for ever
        raise RuntimeError("the act raised StopIteration") from error


class AwaitedTransactions:
    """For a driver that waits by itself: each statement is awaited inside of the act."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def run(self, act: Act[_R], *, writes: bool) -> _R:
        context = self._engine.begin() if writes else self._engine.connect()
        async with context as connection:
            return await connection.run_sync(act)

    async def close(self) -> None:
        """The engine is its owner's."""
