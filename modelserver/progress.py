"""What a trainer writes about its job, read into events, checkpoints and the job's row.

Every row gets its id from what it tells of, so that reading the same lines again, after a
restart or when a trainer repeats steps since its last checkpoint, adds nothing.
"""

import json
import os
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelserver.catalog import insert_model
from modelserver.database import Database
from modelserver.ids import derived_id
from modelserver.jobs import tell, tuned_name

_AUTO_KEYS = ("n_epochs", "batch_size", "learning_rate_multiplier", "beta")
_METRICS = (
    "train_loss",
    "train_mean_token_accuracy",
    "valid_loss",
    "valid_mean_token_accuracy",
    "full_valid_loss",
    "full_valid_mean_token_accuracy",
)


@dataclass(frozen=True, kw_only=True)
class Done:
    path: Path  # folder of the adapter
    trained_tokens: int


@dataclass(frozen=True, kw_only=True)
class Failed:
    message: str
    code: str = "training_failed"
    param: str | None = None


class Progress:
    """Follows `progress.jsonl` of one job; `outcome` is set once the trainer has told it."""

    def __init__(self, database: Database, job: sqlite3.Row, folder: Path, data_dir: Path) -> None:
        self.outcome: Done | Failed | None = None
        self._database = database
        self._job = job
        self._path = folder / "progress.jsonl"
        self._data_dir = data_dir
        self._offset = 0
        self._total_steps: int | None = None
        self._first_step: tuple[int, float] | None = None

    def read(self) -> None:
        """Takes in the complete lines written since the last call that could note them."""
        lines, offset = self._new_lines()
        if lines:
            with self._database.transaction() as db:
                for line in lines:
                    self._take(db, line)
        self._offset = offset

    def end_line(self) -> None:
        """Closes a line that a killed trainer left torn, so that the next one starts its own."""
        if self._path.exists() and not self._path.read_bytes().endswith(b"\n"):
            with self._path.open("ab") as file:
                file.write(b"\n")

    def _new_lines(self) -> tuple[list[bytes], int]:
        """And where they end."""
        if not self._path.exists():
            return [], self._offset
        with self._path.open("rb") as file:
            file.seek(self._offset)
            complete, newline, _ = file.read().rpartition(b"\n")
        return complete.splitlines(), self._offset + len(complete) + len(newline)

    def _take(self, db: sqlite3.Connection, line: bytes) -> None:
        try:
            told = json.loads(line, parse_constant=_no_number)
            take = {
                "message": self._take_message,
                "started": self._take_start,
                "metrics": self._take_metrics,
                "checkpoint": self._take_checkpoint,
                "done": self._take_end,
                "error": self._take_error,
            }[told["type"]]
        except (ValueError, TypeError, KeyError):
            return  # torn by a kill
        take(db, told)

    def _take_message(self, db: sqlite3.Connection, told: dict[str, Any]) -> None:
        level = "warn" if told.get("level") == "warn" else "info"
        event_id = self._id("ftevent-", "message", told["message"])
        tell(db, self._job["id"], told["message"], level=level, event_id=event_id)

    def _take_start(self, db: sqlite3.Connection, told: dict[str, Any]) -> None:
        self._total_steps = told.get("total_steps")
        chosen = json.loads(self._job["hyperparameters"])
        chosen |= {key: told[key] for key in _AUTO_KEYS if key in chosen and key in told}
        db.execute(
            "UPDATE jobs SET hyperparameters = ? WHERE id = ?",
            (json.dumps(chosen), self._job["id"]),
        )

    def _take_metrics(self, db: sqlite3.Connection, told: dict[str, Any]) -> None:
        step = told["step"]
        data = {key: value for key, value in told.items() if key != "type" and value is not None}
        if self._total_steps:
            data["total_steps"] = self._total_steps
        of = f"/{self._total_steps}" if self._total_steps else ""
        message = f"Step {step}{of}"
        if told.get("train_loss") is not None:
            message += f": training loss={told['train_loss']:.2f}"
        if told.get("valid_loss") is not None:
            message += f", validation loss={told['valid_loss']:.2f}"
        event_id = self._id("ftevent-", "metrics", step)
        tell(db, self._job["id"], message, kind="metrics", data=data, event_id=event_id)
        self._estimate_finish(db, step)

    def _estimate_finish(self, db: sqlite3.Connection, step: int) -> None:
        self._first_step = self._first_step or (step, time.time())
        first, at = self._first_step
        if self._total_steps and step > first:
            left_s = (time.time() - at) / (step - first) * (self._total_steps - step)
            db.execute(
                "UPDATE jobs SET estimated_finish = ? WHERE id = ?",
                (int(time.time() + left_s), self._job["id"]),
            )

    def _take_checkpoint(self, db: sqlite3.Connection, told: dict[str, Any]) -> None:
        step, metrics = told["step"], told.get("metrics") or {}
        shown = {key: metrics[key] for key in _METRICS if metrics.get(key) is not None}
        insert_model(
            db,
            model_id=self._id("ftckpt_", step),
            name=tuned_name(self._job, step),
            job_id=self._job["id"],
            base=self._job["base"],
            path=os.path.relpath(told["path"], self._data_dir),
            step=step,
            metrics=json.dumps(shown),
        )
        tell(
            db,
            self._job["id"],
            f"Checkpoint created at step {step}",
            data={"step": step},
            event_id=self._id("ftevent-", "checkpoint", step),
        )

    def _take_end(self, _: sqlite3.Connection, told: dict[str, Any]) -> None:
        self.outcome = Done(path=Path(told["path"]), trained_tokens=told["trained_tokens"])

    def _take_error(self, _: sqlite3.Connection, told: dict[str, Any]) -> None:
        self.outcome = Failed(
            message=told["message"],
            code=told.get("code") or "training_failed",
            param=told.get("param"),
        )

    def _id(self, prefix: str, *source: object) -> str:
        return derived_id(prefix, self._job["id"], *source)


def _no_number(_: str) -> None:
    """A diverged loss is NaN, which is no JSON: clients and SQLite stumble over it."""
