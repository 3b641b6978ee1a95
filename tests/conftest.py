"""What every test may ask for: a database of its own, on SQLite and on PostgreSQL."""

import os
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from store import Database
from store.migrate import migrate, migrate_now
from tests.modelserver_process import modelserver_url as modelserver_url

POSTGRES = os.environ.get("NOD_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, once on each backend."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'nod.db'}"
        return
    name = f"nod_test_{uuid.uuid4().hex[:12]}"
    _on_postgres(f"create database {name}")
    yield f"postgresql+psycopg://{POSTGRES.split('://')[1].rsplit('/', 1)[0]}/{name}"
    _on_postgres(f"drop database {name} with (force)")


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite database, migrated once for all tests, which copy it."""
    path = tmp_path_factory.mktemp("migrated") / "nod.db"
    migrate_now(f"sqlite:///{path}")
    return path


@pytest.fixture
async def database(tmp_path: Path, migrated_file: Path) -> AsyncIterator[Database]:
    """A migrated SQLite database: what nearly every test needs."""
    path = shutil.copy(migrated_file, tmp_path / "nod.db")
    database = Database(f"sqlite+aiosqlite:///{path}")
    yield database
    await database.close()


@pytest.fixture
async def any_database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database, once on each backend: for what depends on locks and indexes."""
    await migrate(database_url)
    database = Database(database_url)
    yield database
    await database.close()


def _on_postgres(statement: str) -> None:
    try:
        with psycopg.connect(POSTGRES, autocommit=True, connect_timeout=2) as connection:
            connection.execute(statement)  # type: ignore[call-overload]
    except psycopg.OperationalError as error:
        pytest.skip(f"PostgreSQL does not answer at {POSTGRES}: {str(error).splitlines()[0]}")
