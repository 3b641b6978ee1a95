"""Brings a database to the form that this version of Nod works with."""

import asyncio
import sqlite3
from pathlib import Path

import sqlalchemy.exc
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, create_engine, make_url

MIGRATIONS = Path(__file__).parent / "migrations"


class DatabaseError(RuntimeError):
    """The database cannot be used.

    DatabaseError
    ├── DatabaseAwayError      the server does not answer, or lets nobody in
    ├── DatabaseTooNewError    a newer version of Nod has written it
    └── NoDatabaseError        the file is not a database, or damaged
    """


class DatabaseAwayError(DatabaseError):
    """The server does not answer, or lets nobody in."""


class DatabaseTooNewError(DatabaseError):
    """A newer version of Nod has written this database."""


class NoDatabaseError(DatabaseError):
    """The file is not a database of SQLite, or it is damaged."""


async def migrate(url: str) -> None:
    """Run every migration that is missing; safe to call at each start.

    Raises:
        DatabaseAwayError: the server does not answer.
        DatabaseTooNewError: the database knows a migration that this program does not.
        NoDatabaseError: the file is not a database.
    """
    await asyncio.to_thread(migrate_now, url)


def migrate_now(url: str) -> None:
    """As `migrate`, for callers without an event loop."""
    sync_url = _sync_url(url)
    config = Config(attributes={"url": sync_url})
    config.set_main_option("script_location", str(MIGRATIONS))
    _refuse_newer(sync_url, ScriptDirectory.from_config(config))
    command.upgrade(config, "head")


def check_revision(url: str) -> None:
    """Change nothing.

    Raises:
        DatabaseTooNewError: the database knows a migration that this program does not.
    """
    _refuse_newer(_sync_url(url), ScriptDirectory(str(MIGRATIONS)))


def _sync_url(url: str) -> URL:
    """The URL for a plain driver: psycopg is both, aiosqlite is not."""
    parsed = make_url(url)
    return parsed.set(drivername="sqlite") if parsed.get_backend_name() == "sqlite" else parsed


def _refuse_newer(url: URL, script: ScriptDirectory) -> None:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
    except sqlalchemy.exc.DatabaseError as error:
        if isinstance(error, sqlalchemy.exc.OperationalError) and url.host:
            raise _away(url, error) from None
        if not isinstance(error.orig, sqlite3.DatabaseError) or not _is_broken(error.orig):
            raise
        raise NoDatabaseError(
            f"{url.database} cannot be read as a database of SQLite ({error.orig}); restore the "
            f"backup, or set NOD_HOME to another folder"
        ) from None
    finally:
        engine.dispose()
    known = {revision.revision for revision in script.walk_revisions()}
    if current is not None and current not in known:
        shown = url.render_as_string(hide_password=True)
        raise DatabaseTooNewError(
            f"the database {shown} is at revision {current!r}, which this version of Nod does not "
            f"know: it was written by a newer one. Start that version, or restore the backup that "
            f"was made before it ran."
        )


def _away(url: URL, error: sqlalchemy.exc.OperationalError) -> DatabaseAwayError:
    shown = url.render_as_string(hide_password=True)
    said = str(error.orig).strip().splitlines()[0]
    return DatabaseAwayError(
        f"the database {shown} cannot be worked with: {said}. Start it, or correct NOD_DATABASE_URL"
    )


def _is_broken(error: sqlite3.DatabaseError) -> bool:
    """The file is at fault, not a lock or the disk."""
    return error.sqlite_errorcode in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
