"""Rows without a session: for what every message reads and stores.

A session's bookkeeping and its flush cost more than SQLite and the rest of the transaction; see
`Database.run_read` and `run_write`. The objects are the same, but nobody watches them: what is
changed afterwards is changed by a statement.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import sqlalchemy
from sqlalchemy import Select, Table, inspect
from sqlalchemy.sql.dml import ReturningInsert

from store.base import Base
from store.database import Executor

_B = TypeVar("_B", bound=Base)


def columns_of(kind: type[Base]) -> Select[Any]:
    """The whole rows of one kind, for `fetch`."""
    return sqlalchemy.select(*_table(kind).columns)


def fetch(
    executor: Executor, kind: type[_B], statement: Select[Any], values: Mapping[str, object]
) -> list[_B]:
    """What a statement made by `columns_of` finds."""
    rows = executor.execute(statement, values)
    return [kind(**row) for row in rows.mappings()]


def insert(executor: Executor, row: Base) -> None:
    """Store a row; it then has its id and its columns' defaults."""
    given = row.__dict__
    for key, make in _defaults(type(row)):
        if key not in given:
            setattr(row, key, make())
    values = {key: value for key, value in given.items() if key != "_sa_instance_state"}
    stored = executor.execute(_insertion(type(row)), values).one()
    for column, value in zip(_table(type(row)).primary_key, stored, strict=True):
        setattr(row, column.key, value)


@cache
def _insertion(kind: type[Base]) -> ReturningInsert[Any]:
    table = _table(kind)
    return sqlalchemy.insert(table).returning(*table.primary_key)


@cache
def _defaults(kind: type[Base]) -> Sequence[tuple[str, Callable[[], Any]]]:
    """What each column holds that is not given: the very defaults that a session would take."""
    return [
        (column.key, _maker(column.default))
        for column in _table(kind).columns
        if column.default is not None
    ]


def _maker(default: Any) -> Callable[[], Any]:
    # A callable is wrapped by SQLAlchemy, which hands it its context.
    return (lambda: default.arg(None)) if default.is_callable else (lambda: default.arg)


def _table(kind: type[Base]) -> Table:
    table = inspect(kind).local_table
    assert isinstance(table, Table)
    return table
