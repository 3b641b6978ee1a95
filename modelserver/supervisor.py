"""Moves jobs on: one thread checks their files, another trains them, one at a time.

Both take their work from the rows, so that a server killed at any line goes on where it was.
"""

import io
import json
import logging
import os
import signal
import sqlite3
import threading
import time
from pathlib import Path

from modelserver.catalog import Model, insert_model
from modelserver.classification import read_task
from modelserver.database import Database
from modelserver.engine import Engine
from modelserver.files import RESULTS, Files, insert_file
from modelserver.ids import derived_id, now
from modelserver.jobs import fail, tell, tuned_name
from modelserver.parity import explain, find_faults
from modelserver.progress import Done, Failed, Progress
from modelserver.results import compiled_results_id, write_compiled_results, write_results
from modelserver.trainer import Trainer, TrainingSettings
from modelserver.validate import MIN_EXAMPLES, TrainingFileError, check_file

log = logging.getLogger(__name__)

_POLL_S = 0.05
_IDLE_S = 30.0  # looks for expired files this often
_GRACE_S = 30.0  # what a trainer gets to save a checkpoint


class Supervisor:
    """Call `wake` when a job was created or resumed."""

    def __init__(
        self,
        database: Database,
        files: Files,
        engine: Engine,
        data_dir: Path,
        training: TrainingSettings,
    ) -> None:
        self._database = database
        self._files = files
        self._engine = engine
        self._data_dir = data_dir
        self._training = training
        self._is_stopping = threading.Event()
        self._new_work = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, args=("validating_files",), name="check"),
            threading.Thread(target=self._work, args=("queued",), name="train"),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        with self._new_work:
            self._new_work.notify_all()

    def stop(self) -> None:
        """A trainer at work saves a checkpoint first; its job goes on at the next start."""
        self._is_stopping.set()
        self.wake()
        for thread in self._threads:
            thread.join()

    def _work(self, status: str) -> None:
        while not self._is_stopping.is_set():
            with self._new_work:
                job = self._next(status)
                if job is None:
                    self._new_work.wait(_IDLE_S)
                    continue
            try:
                self._check(job) if status == "validating_files" else self._train(job)
                self._files.drop_expired()
            except Exception:
                log.exception("job %s could not be moved on", job["id"])
                self._give_up(job)
            self.wake()

    def _next(self, status: str) -> sqlite3.Row | None:
        """The oldest job to check; to train, one that was being trained before the queue."""
        if status == "validating_files":
            return self._database.row("SELECT * FROM jobs WHERE status = ? ORDER BY seq", status)
        return self._database.row(
            "SELECT * FROM jobs WHERE status IN ('running', 'queued') AND NOT is_paused"
            " ORDER BY status = 'running' DESC, seq LIMIT 1"
        )

    def _check(self, job: sqlite3.Row) -> None:
        if fault := self._find_fault(job):
            param, reason = fault
            message = f"{param} {job[param]}: {reason}"
            self._fail(job, message, code=f"invalid_{param}", param=param)
            return
        with self._database.transaction() as db:
            done = db.execute(
                "UPDATE jobs SET status = 'queued' WHERE id = ? AND status = 'validating_files'",
                (job["id"],),
            )
            if done.rowcount:
                tell(db, job["id"], "Files validated, moving job to queued state")

    def _find_fault(self, job: sqlite3.Row) -> tuple[str, str] | None:
        """Which file can't be trained on, and why."""
        # In 2023 there was no such limit.
        fewest = MIN_EXAMPLES if job["fine_tune"] is None else 1
        asked = json.loads(job["fine_tune"] or "{}")
        try:
            for param, at_least in (("training_file", fewest), ("validation_file", 1)):
                if job[param] is not None:
                    check_file(self._files.path(job[param]), job["method"], at_least=at_least)
            if asked:
                paths = (job["training_file"], job["validation_file"])
                read_task(asked, *map(self._files.path, paths))
        except FileNotFoundError:
            return param, "it was deleted"
        except TrainingFileError as error:
            return param, str(error)
        return None

    def _train(self, job: sqlite3.Row) -> None:
        if not self._mark_running(job):
            return
        folder = self._data_dir / "jobs" / job["id"]
        folder.mkdir(parents=True, exist_ok=True)
        progress = Progress(self._database, job, folder, self._data_dir)
        progress.read()
        if progress.outcome is None:
            progress.outcome = self._follow(job, folder, progress)
        if isinstance(progress.outcome, Done):
            progress.outcome = self._finish(job, progress.outcome)
        if isinstance(progress.outcome, Failed):
            outcome = progress.outcome
            self._fail(job, outcome.message, code=outcome.code, param=outcome.param)

    def _mark_running(self, job: sqlite3.Row) -> bool:
        with self._database.transaction() as db:
            done = db.execute(
                "UPDATE jobs SET status = 'running'"
                " WHERE id = ? AND status IN ('queued', 'running') AND NOT is_paused",
                (job["id"],),
            )
            event_id = derived_id("ftevent-", job["id"], "running")
            if done.rowcount:
                tell(db, job["id"], "Fine-tuning job started", event_id=event_id)
            return bool(done.rowcount)

    def _follow(self, job: sqlite3.Row, folder: Path, progress: Progress) -> Done | Failed | None:
        """Trains until the end, or until the job is to stop (None)."""
        self._write_order(job, folder)
        progress.end_line()
        module, processes = self._engine.trainer_module, self._training.processes
        trainer = Trainer.start_or_adopt(folder, module, processes)
        log.info("job %s: %s", job["id"], "training" if trainer.is_ours else "still training")
        stop_by: float | None = None
        while not trainer.has_ended():
            progress.read()
            if stop_by is None and not self._is_wanted(job):
                trainer.send(signal.SIGTERM)
                stop_by = time.monotonic() + _GRACE_S
            elif stop_by is not None and time.monotonic() > stop_by:
                trainer.send(signal.SIGKILL)
            time.sleep(_POLL_S)
        progress.read()
        if progress.outcome is not None or stop_by is not None or not self._is_wanted(job):
            return progress.outcome
        if not trainer.is_ours:  # how an earlier server's ended is not known: go on from there
            return self._follow(job, folder, progress)
        return Failed(message=trainer.explain_death(), code="trainer_died")

    def _is_wanted(self, job: sqlite3.Row) -> bool:
        row = self._database.row("SELECT status FROM jobs WHERE id = ?", job["id"])
        return row is not None and row["status"] == "running" and not self._is_stopping.is_set()

    def _write_order(self, job: sqlite3.Row, folder: Path) -> None:
        """The trainer's contract: all that it knows of its job."""
        validation = job["validation_file"]
        order = {
            "job_id": job["id"],
            "base": self._engine.base_source(job["base"]),
            "data_dir": str(self._data_dir),
            "method": job["method"],
            "hyperparameters": json.loads(job["hyperparameters"]),
            "options": {
                "precision": self._training.precision,
                "patience": self._training.patience,
            },
            "seed": job["seed"],
            "training_file": str(self._files.path(job["training_file"])),
            "validation_file": str(self._files.path(validation)) if validation else None,
            "classification": json.loads(job["fine_tune"] or "null") or None,
        }
        part = folder / "job.json.part"
        part.write_text(json.dumps(order, indent=2))
        part.rename(folder / "job.json")

    def _finish(self, job: sqlite3.Row, done: Done) -> Failed | None:
        """Serves the model first and tells of it then, in one transaction."""
        model = Model(name=tuned_name(job), base=job["base"], adapter=done.path)
        try:
            self._engine.load([model])
            faults = find_faults(self._engine, model, self._data_dir / "jobs" / job["id"])
        except Exception as error:
            log.exception("job %s: its adapter could not be loaded", job["id"])
            return Failed(message=f"the trained adapter could not be loaded: {error}")
        if faults:
            return Failed(message=explain(faults), code="serve_parity", param="model")
        file_id = derived_id("file-", job["id"], RESULTS)
        results = {
            file_id: ("step_metrics.csv", write_results(self._database, job["id"])),
            compiled_results_id(job["id"]): (
                "compiled_results.csv",
                write_compiled_results(self._database, job["id"]),
            ),
        }
        for one, (_, content) in results.items():
            self._files.write(one, io.BytesIO(content))
        with self._database.transaction() as db:
            ended = db.execute(
                "UPDATE jobs SET status = 'succeeded', finished_at = ?, estimated_finish = NULL,"
                " fine_tuned_model = ?, trained_tokens = ?, result_file = ?"
                " WHERE id = ? AND status = 'running'",
                (now(), model.name, done.trained_tokens, file_id, job["id"]),
            )
            if not ended.rowcount:
                return None  # cancelled meanwhile
            for one, (filename, content) in results.items():
                insert_file(db, one, filename, len(content), RESULTS, now())
            insert_model(
                db,
                model_id=derived_id("model-", job["id"]),
                name=model.name,
                job_id=job["id"],
                base=job["base"],
                path=os.path.relpath(done.path, self._data_dir),
            )
            tell(db, job["id"], f"New fine-tuned model created: {model.name}")
            tell(db, job["id"], "The job has successfully completed")
        return None

    def _give_up(self, job: sqlite3.Row) -> None:
        """Fails the job, or tries again in a second where not even that can be written."""
        try:
            self._fail(job, "the server met an error of its own; its log has the details")
        except sqlite3.Error:
            self._is_stopping.wait(1)

    def _fail(
        self,
        job: sqlite3.Row,
        message: str,
        *,
        code: str = "server_error",
        param: str | None = None,
    ) -> None:
        log.warning("job %s failed: %s", job["id"], code)
        with self._database.transaction() as db:
            fail(db, job["id"], message, code=code, param=param)
