"""What a job leaves behind of its steps: a CSV as it is today, and one as it was in 2023."""

import base64
import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from modelserver.database import Database
from modelserver.ids import derived_id

_TODAY = {
    "step": "step",
    "train_loss": "train_loss",
    "train_accuracy": "train_mean_token_accuracy",
    "valid_loss": "valid_loss",
    "valid_mean_token_accuracy": "valid_mean_token_accuracy",
}
_OF_2023 = {
    "step": "step",
    "elapsed_tokens": "elapsed_tokens",
    "elapsed_examples": "elapsed_examples",
    "training_loss": "train_loss",
    "training_sequence_accuracy": "train_sequence_accuracy",
    "training_token_accuracy": "train_mean_token_accuracy",
}
_VALIDATION = {
    "validation_loss": "valid_loss",
    "validation_sequence_accuracy": "valid_sequence_accuracy",
    "validation_token_accuracy": "valid_mean_token_accuracy",
}
_CLASSIFICATION = "classification/"


def compiled_results_id(job_id: str) -> str:
    """The id of the file of 2023, which each job that succeeds has beside today's."""
    return derived_id("file-", job_id, "compiled_results")


def write_results(database: Database, job_id: str) -> bytes:
    """The result file as OpenAI has it: a CSV in base64, a row a step."""
    return base64.b64encode(_write(_TODAY, _steps(database, job_id)).encode())


def write_compiled_results(database: Database, job_id: str) -> bytes:
    """The CSV of /v1/fine-tunes, plain: what `openai api fine_tunes.results` prints.

    A row a step; the columns of validation and classification are there when they were measured,
    at the end of each epoch.
    """
    steps = _steps(database, job_id)
    measured = dict.fromkeys(key for step in steps for key in step)
    columns = dict(_OF_2023)
    if any(key in measured for key in _VALIDATION.values()):
        columns |= _VALIDATION
    columns |= {key: key for key in measured if key.startswith(_CLASSIFICATION)}
    return _write(columns, steps).encode()


def _steps(database: Database, job_id: str) -> list[dict[str, Any]]:
    rows = database.rows(
        "SELECT data FROM events WHERE job_id = ? AND type = 'metrics'"
        " ORDER BY json_extract(data, '$.step')",
        job_id,
    )
    return [json.loads(row["data"]) for row in rows]


def _write(columns: Mapping[str, str], steps: Sequence[Mapping[str, Any]]) -> str:
    """CSV; `columns` is the head of each column -> the key of a step."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for step in steps:
        writer.writerow([step.get(key, "") for key in columns.values()])
    return text.getvalue()
