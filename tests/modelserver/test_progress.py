"""What a trainer tells becomes events that every client can read."""

import json
import sqlite3
from pathlib import Path

import pytest

from modelserver.database import Database
from modelserver.jobs import Jobs, NewJob
from modelserver.progress import Progress


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "modelserver.sqlite3")


def new_job(database: Database) -> sqlite3.Row:
    new = NewJob(base="b", method="supervised", hyperparameters={}, training_file="file-1")
    job_id = Jobs(database).create(new)["id"]
    row = database.row("SELECT * FROM jobs WHERE id = ?", job_id)
    assert row is not None
    return row


def test_a_loss_that_is_no_number_is_left_out_of_what_is_told(
    database: Database, tmp_path: Path
) -> None:
    job = new_job(database)
    told = [
        {"type": "metrics", "step": 1, "train_loss": 2.5, "valid_loss": float("nan")},
        {"type": "metrics", "step": 2, "train_loss": float("inf")},
    ]
    lines = "".join(json.dumps(each) + "\n" for each in told)
    (tmp_path / "progress.jsonl").write_text(lines)
    Progress(database, job, tmp_path, tmp_path).read()
    events = Jobs(database).list_events(job["id"], limit=10, after=None)
    measured = [each["data"] for each in events["data"] if each["type"] == "metrics"]
    assert sorted(measured, key=lambda each: each["step"]) == [
        {"step": 1, "train_loss": 2.5},
        {"step": 2},
    ]
    json.dumps(events, allow_nan=False)
