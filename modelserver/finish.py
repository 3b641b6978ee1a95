"""The end of a job that is trained: its model is served and told of, and its results are written.

The model is what somebody waits for. So nothing that may pass loses it, and the results, which can
be made again from the events at any time, come later where they cannot be written now.
"""

import io
import logging
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelserver.catalog import Model, insert_model
from modelserver.database import Database
from modelserver.engine import Engine
from modelserver.files import RESULTS, Files, insert_file
from modelserver.ids import derived_id, now
from modelserver.jobs import tell, tuned_name
from modelserver.parity import explain as explain_faults
from modelserver.parity import find_faults
from modelserver.progress import Done, Failed
from modelserver.results import compiled_results_id, write_compiled_results, write_results
from modelserver.waits import PASSING, explain

log = logging.getLogger(__name__)

_FOR_GOOD = (FileNotFoundError, ConnectionError)
"""Errors of the system that do not pass: the adapter is not there, or llama.cpp died of it."""

_Contents = Mapping[str, tuple[str, bytes]]  # id of a file -> its name, what is in it


class NotServedYetError(Exception):
    """The model is there, and something passing keeps it from being served: the cause."""


@dataclass(frozen=True, kw_only=True)
class Finish:
    """Every part of it may be repeated."""

    database: Database
    files: Files
    engine: Engine
    data_dir: Path

    def end(self, job: sqlite3.Row, done: Done) -> Failed | None:
        """Serves the model first and tells of it then, in one transaction.

        Raises NotServedYetError when it is to be tried again.
        """
        try:
            failed = self._serve(job, done)
            if failed is None:
                self._tell(job, done)
        except PASSING as error:
            raise NotServedYetError from error
        return failed

    def write_owed_results(self) -> None:
        """Of jobs that succeeded while their results could not be written."""
        owed = self.database.rows(
            "SELECT id FROM jobs WHERE status = 'succeeded' AND result_file IS NULL"
        )
        for job in owed:
            try:
                results = self._write_results(job["id"])
            except OSError as error:
                log.warning("job %s: no results yet: %s", job["id"], error)
                continue
            with self.database.transaction() as db:
                _insert_files(db, results)
                file_id = _results_id(job["id"])
                sql = "UPDATE jobs SET result_file = ? WHERE id = ?"
                db.execute(sql, (file_id, job["id"]))

    def _serve(self, job: sqlite3.Row, done: Done) -> Failed | None:
        """Loads the model, and has it prove that it is served as it was trained."""
        model = Model(name=tuned_name(job), base=job["base"], adapter=done.path)
        try:
            self.engine.load([model])
            faults = find_faults(self.engine, model, self.data_dir / "jobs" / job["id"])
        except Exception as error:
            if isinstance(error, PASSING) and not isinstance(error, _FOR_GOOD):
                raise
            log.exception("job %s: its adapter could not be loaded", job["id"])
            return Failed(message=f"the trained adapter could not be loaded: {error}")
        if faults:
            return Failed(message=explain_faults(faults), code="serve_parity", param="model")
        return None

    def _tell(self, job: sqlite3.Row, done: Done) -> None:
        results, complaint = self._try_results(job["id"])
        file_id = _results_id(job["id"])
        with self.database.transaction() as db:
            ended = db.execute(
                "UPDATE jobs SET status = 'succeeded', finished_at = ?, estimated_finish = NULL,"
                " fine_tuned_model = ?, trained_tokens = ?, result_file = ?"
                " WHERE id = ? AND status = 'running'",
                (
                    now(),
                    tuned_name(job),
                    done.trained_tokens,
                    file_id if file_id in results else None,
                    job["id"],
                ),
            )
            if not ended.rowcount:
                return  # cancelled meanwhile
            _insert_files(db, results)
            insert_model(
                db,
                model_id=derived_id("model-", job["id"]),
                name=tuned_name(job),
                job_id=job["id"],
                base=job["base"],
                path=os.path.relpath(done.path, self.data_dir),
            )
            tell(db, job["id"], f"New fine-tuned model created: {tuned_name(job)}")
            if complaint:
                tell(db, job["id"], complaint, level="warn")
            tell(db, job["id"], "The job has successfully completed")

    def _try_results(self, job_id: str) -> tuple[_Contents, str | None]:
        """The results that were written, or why there are none yet."""
        try:
            return self._write_results(job_id), None
        except OSError as error:
            log.warning("job %s: no results yet: %s", job_id, error)
            why = explain(error, self.data_dir)
            return {}, f"The results come later, they could not be written: {why}"

    def _write_results(self, job_id: str) -> _Contents:
        """Writes the bytes; their rows are for the caller's transaction."""
        today, of_2023 = _results_id(job_id), compiled_results_id(job_id)
        results = {
            today: ("step_metrics.csv", write_results(self.database, job_id)),
            of_2023: ("compiled_results.csv", write_compiled_results(self.database, job_id)),
        }
        for file_id, (_, content) in results.items():
            self.files.write(file_id, io.BytesIO(content))
        return results


def _results_id(job_id: str) -> str:
    return derived_id("file-", job_id, RESULTS)


def _insert_files(db: sqlite3.Connection, contents: _Contents) -> None:
    for file_id, (filename, content) in contents.items():
        insert_file(db, file_id, filename, len(content), RESULTS, now())
