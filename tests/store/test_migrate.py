"""The database comes up in the form that the models describe, on SQLite and PostgreSQL."""

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from store import Base
from store.migrate import (
    MIGRATIONS,
    DatabaseAwayError,
    DatabaseTooNewError,
    NoDatabaseError,
    _sync_url,
    migrate,
    migrate_now,
)


async def test_a_server_that_is_away_is_named_with_the_way_out_and_no_password() -> None:
    with pytest.raises(DatabaseAwayError, match="NOD_DATABASE_URL") as raised:
        await migrate("postgresql+psycopg://nod:hunter2@127.0.0.1:9/nod")
    assert "nod:***@127.0.0.1:9/nod" in str(raised.value)
    assert "hunter2" not in str(raised.value)


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


async def test_a_file_that_is_no_database_is_named_with_the_way_out(tmp_path) -> None:
    path = tmp_path / "nod.db"
    path.write_text("a shopping list, and a long one" * 9)
    with pytest.raises(NoDatabaseError, match=r"nod.db cannot be read .* restore the backup"):
        await migrate(f"sqlite+aiosqlite:///{path}")


@pytest.mark.parametrize("at_statement", [2, 9, 16, 23])
def test_a_migration_that_is_killed_in_the_middle_has_changed_nothing(
    at_statement: int, tmp_path: Path
) -> None:
    path = tmp_path / "nod.db"
    url = f"sqlite+aiosqlite:///{path}"
    config = Config(attributes={"url": _sync_url(url)})
    config.set_main_option("script_location", str(MIGRATIONS))
    command.upgrade(config, "0004")
    before = _schema(path)
    killed = subprocess.run(
        [sys.executable, "-c", _DYING, url, str(at_statement)], cwd=ROOT, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert _schema(path) == before
    migrate_now(url)
    assert _schema(path) != before


ROOT = Path(__file__).resolve().parents[2]
_DYING = """
import os, signal, sys
from sqlalchemy import Engine, event
from store.migrate import migrate_now

left = int(sys.argv[2])

@event.listens_for(Engine, "after_cursor_execute")
def die(connection, cursor, statement, *rest):
    global left
    is_change = statement.split()[0].upper() in ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE")
    left -= is_change
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

migrate_now(sys.argv[1])
"""


def _schema(path: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(path) as connection:
        return connection.execute("select name, sql from sqlite_master order by name").fetchall()
