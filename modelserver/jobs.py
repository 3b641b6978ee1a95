"""Fine-tuning jobs: their rows, and what a client may do with them."""

import json
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelserver.catalog import OWNER
from modelserver.database import Database
from modelserver.errors import BadRequestError, NotFoundError
from modelserver.ids import new_id, now
from modelserver.paging import Page, read_page, show_page

UNFINISHED = ("validating_files", "queued", "running")


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """What a client asked for, checked."""

    base: str
    method: str  # supervised | dpo
    hyperparameters: Mapping[str, int | float | str]  # each a number or "auto"
    training_file: str
    validation_file: str | None = None
    suffix: str = ""
    seed: int | None = None
    metadata: Mapping[str, str] | None = None
    fine_tune: Mapping[str, Any] | None = None
    """What only the API of 2023 asks for; None for a job of today's."""
    warnings: Sequence[str] = ()


class Jobs:
    """Every change of a job's status is one transaction with the event that tells of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, new: NewJob) -> dict[str, Any]:
        job_id = new_id("ftjob-")
        seed = new.seed if new.seed is not None else secrets.randbelow(2**31)
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO jobs (id, created_at, status, base, method, hyperparameters, seed,"
                " suffix, metadata, training_file, validation_file, fine_tune)"
                " VALUES (?, ?, 'validating_files', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    job_id,
                    now(),
                    new.base,
                    new.method,
                    json.dumps(dict(new.hyperparameters)),
                    seed,
                    new.suffix,
                    json.dumps(dict(new.metadata or {})),
                    new.training_file,
                    new.validation_file,
                    None if new.fine_tune is None else json.dumps(dict(new.fine_tune)),
                ),
            )
            tell(db, job_id, f"Created fine-tuning job: {job_id}")
            for warning in new.warnings:
                tell(db, job_id, warning, level="warn")
            tell(db, job_id, f"Validating training file: {new.training_file}")
        return self.show(job_id)

    def row(self, job_id: str) -> sqlite3.Row:
        row = self._database.row("SELECT * FROM jobs WHERE id = ?", job_id)
        if row is None:
            raise NotFoundError(f"Could not find fine tune: {job_id}", param="fine_tuning_job_id")
        return row

    def show(self, job_id: str) -> dict[str, Any]:
        return _show_job(self.row(job_id))

    def list(
        self, *, limit: int, after: str | None, metadata: Mapping[str, str] | None
    ) -> dict[str, Any]:
        """Newest first. `metadata` None asks for all, {} for jobs without metadata."""
        where, values = _match_metadata(metadata)
        page = read_page(
            self._database, "jobs", limit=limit, after=after, where=where, values=values
        )
        return _show_list([_show_job(row) for row in page.rows], page)

    def list_events(self, job_id: str, *, limit: int, after: str | None) -> dict[str, Any]:
        page = self._page_of(job_id, "events", "1", limit, after)
        return _show_list([_show_event(row) for row in page.rows], page)

    def list_checkpoints(self, job_id: str, *, limit: int, after: str | None) -> dict[str, Any]:
        page = self._page_of(job_id, "models", "step IS NOT NULL", limit, after)
        items = [_show_checkpoint(row) for row in page.rows]
        return show_page(items, page.has_more, empty=None)

    def _page_of(self, job_id: str, table: str, where: str, limit: int, after: str | None) -> Page:
        self.row(job_id)
        return read_page(
            self._database,
            table,
            limit=limit,
            after=after,
            where=f"job_id = ? AND {where}",
            values=(job_id,),
        )

    def cancel(self, job_id: str) -> dict[str, Any]:
        return self._change(
            job_id, "status = 'cancelled', finished_at = unixepoch()", "Fine-tuning job cancelled"
        )

    def pause(self, job_id: str) -> dict[str, Any]:
        """The job keeps its place and its checkpoints; the spec has no word for paused."""
        return self._change(
            job_id,
            "is_paused = 1, status = iif(status = 'running', 'queued', status)",
            "Fine-tuning job paused",
            unless="is_paused",
        )

    def resume(self, job_id: str) -> dict[str, Any]:
        return self._change(
            job_id, "is_paused = 0", "Fine-tuning job resumed", unless="NOT is_paused"
        )

    def _change(self, job_id: str, change: str, message: str, unless: str = "0") -> dict[str, Any]:
        with self._database.transaction() as db:
            status = self.row(job_id)["status"]
            if status not in UNFINISHED:
                raise BadRequestError(
                    f"Job {job_id} has {_ended(status)} already: there is nothing left to change.",
                    code="job_finished",
                )
            sql = f"UPDATE jobs SET {change} WHERE id = ? AND NOT ({unless})"
            done = db.execute(sql, (job_id,))
            if done.rowcount:
                tell(db, job_id, message)
        return self.show(job_id)


def tell(
    db: sqlite3.Connection,
    job_id: str,
    message: str,
    *,
    level: str = "info",
    kind: str = "message",
    data: Mapping[str, Any] | None = None,
    event_id: str | None = None,
) -> None:
    """Adds an event, part of a larger transaction. An event that is there stays as it is."""
    db.execute(
        "INSERT OR IGNORE INTO events (id, job_id, created_at, level, type, message, data)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            event_id or new_id("ftevent-"),
            job_id,
            now(),
            level,
            kind,
            message,
            json.dumps(dict(data or {})),
        ),
    )


def fail(
    db: sqlite3.Connection, job_id: str, message: str, *, code: str, param: str | None
) -> None:
    """Ends an unfinished job for the reason given, part of a larger transaction."""
    error = json.dumps({"code": code, "message": message, "param": param})
    done = db.execute(
        "UPDATE jobs SET status = 'failed', error = ?, finished_at = ?"
        f" WHERE id = ? AND status IN {UNFINISHED}",
        (error, now(), job_id),
    )
    if done.rowcount:
        tell(db, job_id, f"The job failed: {message}", level="error")


def tuned_name(row: sqlite3.Row, step: int | None = None) -> str:
    """`ft:BASE:ORG:SUFFIX:ID`, with `:ckpt-step-N` for a checkpoint."""
    name = f"ft:{row['base']}:{OWNER}:{row['suffix']}:{row['id'].removeprefix('ftjob-')[:8]}"
    return name if step is None else f"{name}:ckpt-step-{step}"


def _ended(status: str) -> str:
    return {"cancelled": "been cancelled"}.get(status, status)


def _match_metadata(metadata: Mapping[str, str] | None) -> tuple[str, tuple[str, ...]]:
    if metadata is None:
        return "1", ()
    if not metadata:
        return "metadata = '{}'", ()
    one = "EXISTS (SELECT 1 FROM json_each(jobs.metadata) WHERE key = ? AND value = ?)"
    values = tuple(text for pair in metadata.items() for text in pair)
    return " AND ".join([one] * len(metadata)), values


def _show_list(items: list[dict[str, Any]], page: Page) -> dict[str, Any]:
    return {"object": "list", "data": items, "has_more": page.has_more}


def _show_job(row: sqlite3.Row) -> dict[str, Any]:
    hyperparameters = json.loads(row["hyperparameters"])
    return {
        "id": row["id"],
        "object": "fine_tuning.job",
        "created_at": row["created_at"],
        "finished_at": row["finished_at"],
        "estimated_finish": row["estimated_finish"],
        "model": row["base"],
        "fine_tuned_model": row["fine_tuned_model"],
        "organization_id": OWNER,
        "status": row["status"],
        "error": json.loads(row["error"]) if row["error"] else None,
        "hyperparameters": {k: v for k, v in hyperparameters.items() if k != "beta"},
        "method": {"type": row["method"], row["method"]: {"hyperparameters": hyperparameters}},
        "training_file": row["training_file"],
        "validation_file": row["validation_file"],
        "result_files": [row["result_file"]] if row["result_file"] else [],
        "trained_tokens": row["trained_tokens"],
        "integrations": [],
        "seed": row["seed"],
        "metadata": json.loads(row["metadata"]),
    }


def _show_event(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "object": "fine_tuning.job.event",
        "created_at": row["created_at"],
        "level": row["level"],
        "message": row["message"],
        "type": row["type"],
        "data": json.loads(row["data"]),
    }


def _show_checkpoint(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "object": "fine_tuning.job.checkpoint",
        "created_at": row["created_at"],
        "fine_tuning_job_id": row["job_id"],
        "fine_tuned_model_checkpoint": row["name"],
        "step_number": row["step"],
        "metrics": {"step": row["step"], **json.loads(row["metrics"] or "{}")},
    }
