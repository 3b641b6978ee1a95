"""Fine-tuning jobs in the shapes of 2023: the same rows as `jobs`, under older names.

id         ftjob-X           ft-X
status     validating_files  pending
           queued            pending
auto       "auto"            null, until training has chosen
results    step_metrics.csv  compiled_results.csv, see `results`
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelserver.catalog import OWNER
from modelserver.database import Database
from modelserver.errors import BadRequestError, NotFoundError
from modelserver.files import show_file
from modelserver.jobs import UNFINISHED
from modelserver.results import compiled_results_id

_OLD, _NEW = "ft-", "ftjob-"
_LISTED = 10_000  # there were no pages in 2023: the newest so many
_EVENTS = 1_000  # read at a time
_PENDING = ("validating_files", "queued")
_JOBS = (
    "SELECT *, (SELECT created_at FROM events WHERE job_id = jobs.id ORDER BY seq DESC LIMIT 1)"
    " AS updated_at FROM jobs"
)


@dataclass(frozen=True, kw_only=True)
class News:
    """Events after a place, and where to read on; `is_last` when none will follow."""

    events: list[dict[str, Any]]
    place: int
    is_last: bool


class FineTunes:
    """Shows and forgets jobs; they are created, cancelled and trained where all jobs are."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def show(self, fine_tune_id: str) -> dict[str, Any]:
        """With its messages so far, but not its steps: those may be many."""
        row = self.row(fine_tune_id)
        messages = self._database.rows(
            "SELECT * FROM events WHERE job_id = ? AND type = 'message' ORDER BY seq", row["id"]
        )
        (shown,) = self._show([row])
        return shown | {"events": [_show_event(event) for event in messages]}

    def show_all(self) -> dict[str, Any]:
        """Oldest first, as scripts of the time take the last for the newest."""
        rows = self._database.rows(f"{_JOBS} ORDER BY seq DESC LIMIT ?", _LISTED)
        return {"object": "list", "data": self._show(rows[::-1])}

    def list_events(self, fine_tune_id: str) -> dict[str, Any]:
        job_id = self.row(fine_tune_id)["id"]
        rows = self._database.rows("SELECT * FROM events WHERE job_id = ? ORDER BY seq", job_id)
        return {"object": "list", "data": [_show_event(row) for row in rows]}

    def news(self, job_id: str, after: int) -> News:
        # The status first: an event written in between is then read, never missed.
        job = self._database.row("SELECT status FROM jobs WHERE id = ?", job_id)
        rows = self._database.rows(
            "SELECT * FROM events WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?",
            job_id,
            after,
            _EVENTS,
        )
        is_over = job is None or job["status"] not in UNFINISHED
        return News(
            events=[_show_event(row) for row in rows],
            place=rows[-1]["seq"] if rows else after,
            is_last=is_over and len(rows) < _EVENTS,
        )

    def row(self, fine_tune_id: str) -> sqlite3.Row:
        """Takes the id of either time. Raises NotFoundError."""
        job_id = fine_tune_id
        if not fine_tune_id.startswith(_NEW):
            job_id = _NEW + fine_tune_id.removeprefix(_OLD)
        row = self._database.row(f"{_JOBS} WHERE id = ?", job_id)
        if row is None:
            raise NotFoundError(
                f"No such fine-tune: {fine_tune_id}. `openai api fine_tunes.list` shows those "
                "there are.",
                param="fine_tune_id",
            )
        return row

    def check_ended(self, row: sqlite3.Row) -> None:
        if row["status"] in UNFINISHED:
            raise BadRequestError(
                f"Fine-tune {_OLD}{row['id'].removeprefix(_NEW)} has not ended: cancel it first.",
                code="job_unfinished",
            )

    def delete(self, job_id: str) -> None:
        """Forgets a job that has ended, and its events; its models are the catalog's."""
        with self._database.transaction() as db:
            self.check_ended(self.row(job_id))
            db.execute("DELETE FROM events WHERE job_id = ?", (job_id,))
            db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))

    def _show(self, rows: list[sqlite3.Row]) -> list[dict[str, Any]]:
        files = self._files(rows)
        return [_show_job(row, files) for row in rows]

    def _files(self, rows: list[sqlite3.Row]) -> dict[str, dict[str, Any]]:
        """All files that these jobs speak of and that are still there, by id."""
        ids = [file_id for row in rows for file_id in _files_of(row) if file_id]
        found = self._database.rows(
            "SELECT * FROM files WHERE id IN (SELECT value FROM json_each(?))", json.dumps(ids)
        )
        return {row["id"]: show_file(row) for row in found}


def _files_of(row: sqlite3.Row) -> tuple[str | None, ...]:
    return row["training_file"], row["validation_file"], compiled_results_id(row["id"])


def _show_job(row: sqlite3.Row, files: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    listed = ([files[one]] if one and one in files else [] for one in _files_of(row))
    training_files, validation_files, result_files = listed
    return {
        "id": _OLD + row["id"].removeprefix(_NEW),
        "object": "fine-tune",
        "model": row["base"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"] or row["created_at"],
        "fine_tuned_model": row["fine_tuned_model"],
        "hyperparams": _show_hyperparams(row),
        "organization_id": OWNER,
        "status": "pending" if row["status"] in _PENDING else row["status"],
        "training_files": training_files,
        "validation_files": validation_files,
        "result_files": result_files,
    }


def _show_hyperparams(row: sqlite3.Row) -> dict[str, Any]:
    chosen = json.loads(row["hyperparameters"])
    shown = {key: None if value == "auto" else value for key, value in chosen.items()}
    asked: dict[str, Any] = json.loads(row["fine_tune"] or "{}")
    return shown | {"prompt_loss_weight": 0.0} | asked


def _show_event(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "object": "fine-tune-event",
        "created_at": row["created_at"],
        "level": row["level"],
        "message": row["message"],
    }
