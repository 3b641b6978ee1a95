"""The database comes up in the form that the models describe, on SQLite and PostgreSQL."""

import sqlite3

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from store import Base
from store.migrate import DatabaseTooNewError, _sync_url, migrate


async def test_the_migrations_make_exactly_the_tables_of_the_models(database_url: str) -> None:
    await migrate(database_url)
    engine = create_engine(_sync_url(database_url))
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    engine.dispose()
    assert differences == []


async def test_migrating_twice_changes_nothing(database_url: str) -> None:
    await migrate(database_url)
    await migrate(database_url)


async def test_a_database_from_a_newer_version_is_refused(tmp_path) -> None:
    path = tmp_path / "nod.db"
    await migrate(f"sqlite+aiosqlite:///{path}")
    with sqlite3.connect(path) as connection:
        connection.execute("update alembic_version set version_num = 'f00d'")
    with pytest.raises(DatabaseTooNewError, match="newer"):
        await migrate(f"sqlite+aiosqlite:///{path}")
