"""The rows of the server: one SQLite file in the data folder, safe to kill at any line."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_VERSION = 1

_SCHEMA = """
CREATE TABLE files (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    filename TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
);
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    finished_at INTEGER,
    estimated_finish INTEGER,
    status TEXT NOT NULL,
    is_paused INTEGER NOT NULL DEFAULT 0,
    base TEXT NOT NULL,
    method TEXT NOT NULL,
    hyperparameters TEXT NOT NULL,      -- JSON, as asked for until `started` fills in `auto`
    seed INTEGER NOT NULL,
    suffix TEXT NOT NULL,
    metadata TEXT NOT NULL,             -- JSON
    training_file TEXT NOT NULL,
    validation_file TEXT,
    error TEXT,                         -- JSON
    fine_tuned_model TEXT,
    trained_tokens INTEGER,
    result_file TEXT
);
CREATE INDEX jobs_by_status ON jobs (status, seq);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    job_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    level TEXT NOT NULL,
    type TEXT NOT NULL,
    message TEXT NOT NULL,
    data TEXT                           -- JSON
);
CREATE INDEX events_by_job ON events (job_id, seq);
-- Tuned models, and the checkpoints on the way to them (those have a step).
CREATE TABLE models (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    job_id TEXT NOT NULL,
    base TEXT NOT NULL,
    path TEXT NOT NULL,                 -- folder of the adapter, relative to the data folder
    created_at INTEGER NOT NULL,
    step INTEGER,
    metrics TEXT                        -- JSON
);
CREATE INDEX models_by_job ON models (job_id, seq);
"""


class NewerDatabaseError(RuntimeError):
    """The data folder was written by a newer version of the server."""


class Database:
    """One connection behind a lock: calls take well under a millisecond, from any thread."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._migrate(path)

    def _migrate(self, path: Path) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise NewerDatabaseError(
                f"{path} was written by a newer version ({version}; this one knows {_VERSION}): "
                "update the program, or choose another --data folder"
            )
        if version == 0:
            self._connection.executescript(
                f"BEGIN;{_SCHEMA}PRAGMA user_version = {_VERSION};COMMIT;"
            )

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block is written, or nothing is."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: object) -> sqlite3.Row | None:
        found = self.rows(sql, *values)
        return found[0] if found else None

    def close(self) -> None:
        with self._lock:
            self._connection.close()
