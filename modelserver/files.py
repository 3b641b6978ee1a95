"""Uploaded files: bytes in a folder under ids of ours, a row each."""

import logging
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any, BinaryIO

from modelserver.database import Database
from modelserver.errors import BadRequestError, NotFoundError
from modelserver.ids import new_id, now
from modelserver.paging import Order, read_page, show_page

log = logging.getLogger(__name__)

PURPOSES = ("fine-tune", "assistants", "batch", "vision", "user_data", "evals")
RESULTS = "fine-tune-results"
_BUSY = "('validating_files', 'queued', 'running')"


class Files:
    """The bytes are on disk before their row is, and the row goes before the bytes do."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._sweep()

    def _sweep(self) -> None:
        """Drop what an interrupted upload or deletion left behind, and what has expired."""
        self.drop_expired()
        known = {row["id"] for row in self._database.rows("SELECT id FROM files")}
        for path in self._folder.iterdir():
            if path.is_dir():
                log.warning("%s is none of ours, and stays", path)
            elif path.name not in known:
                path.unlink()

    def drop_expired(self) -> None:
        for row in self._database.rows("SELECT id FROM files WHERE expires_at <= ?", now()):
            if not self._is_in_use(row["id"]):
                self._remove(row["id"])

    def path(self, file_id: str) -> Path:
        """Where the bytes of a known file lie."""
        return self._folder / file_id

    def add(
        self, source: BinaryIO, *, filename: str, purpose: str, expires_after_s: int | None
    ) -> dict[str, Any]:
        file_id = new_id("file-")
        size = self.write(file_id, source)
        created_at = now()
        expires_at = created_at + expires_after_s if expires_after_s else None
        with self._database.transaction() as db:
            insert_file(db, file_id, filename, size, purpose, created_at, expires_at)
        return self.show(file_id)

    def write(self, file_id: str, source: BinaryIO) -> int:
        """Copies the bytes to disk for good and returns how many there were."""
        part = self.path(file_id + ".part")
        try:
            with part.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
                target.flush()
                os.fsync(target.fileno())
                size = target.tell()
            part.rename(self.path(file_id))
        finally:
            part.unlink(missing_ok=True)
        return size

    def row(self, file_id: str) -> sqlite3.Row:
        """Raises NotFoundError when there is no such file, or it has expired."""
        row = self._database.row("SELECT * FROM files WHERE id = ?", file_id)
        if row is None or (row["expires_at"] or now() + 1) <= now():
            raise NotFoundError(f"No such File object: {file_id}", param="id")
        return row

    def show(self, file_id: str) -> dict[str, Any]:
        return show_file(self.row(file_id))

    def list(
        self, *, purpose: str | None, limit: int, after: str | None, order: Order
    ) -> dict[str, Any]:
        where, values = "(expires_at IS NULL OR expires_at > ?)", (now(),)
        page = read_page(
            self._database,
            "files",
            limit=limit,
            after=after,
            order=order,
            where=f"{where} AND ? IN (purpose, '')",
            values=(*values, purpose or ""),
        )
        return show_page([show_file(row) for row in page.rows], page.has_more, empty="")

    def delete(self, file_id: str) -> dict[str, Any]:
        self.row(file_id)
        if job := self._is_in_use(file_id):
            raise BadRequestError(
                f"File {file_id} is in use by {job}: cancel that job first, or wait for its end.",
                param="file_id",
                code="file_in_use",
            )
        self._remove(file_id)
        return {"id": file_id, "object": "file", "deleted": True}

    def _is_in_use(self, file_id: str) -> str | None:
        row = self._database.row(
            f"SELECT id FROM jobs WHERE status IN {_BUSY}"
            " AND ? IN (training_file, validation_file)",
            file_id,
        )
        return row["id"] if row else None

    def _remove(self, file_id: str) -> None:
        with self._database.transaction() as db:
            db.execute("DELETE FROM files WHERE id = ?", (file_id,))
        self.path(file_id).unlink(missing_ok=True)


def insert_file(
    db: sqlite3.Connection,
    file_id: str,
    filename: str,
    size: int,
    purpose: str,
    created_at: int,
    expires_at: int | None = None,
) -> None:
    """Part of a larger transaction, for those who write more than the file's row."""
    db.execute(
        "INSERT OR REPLACE INTO files (id, filename, bytes, purpose, created_at, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (file_id, filename, size, purpose, created_at, expires_at),
    )


def show_file(row: sqlite3.Row) -> dict[str, Any]:
    """OpenAI's file object."""
    shown = {
        "id": row["id"],
        "object": "file",
        "bytes": row["bytes"],
        "created_at": row["created_at"],
        "filename": row["filename"],
        "purpose": row["purpose"],
        "status": "processed",
    }
    return shown | ({"expires_at": row["expires_at"]} if row["expires_at"] else {})
