"""Moves jobs on: one thread checks their files, another trains them, one at a time.

Both take their work from the rows, so that a server killed at any line goes on where it was. A
third one is for models that could not be served when they were trained: it tries again.
"""

import json
import logging
import signal
import sqlite3
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal, get_args

from modelserver.classification import read_task
from modelserver.database import Database
from modelserver.engine import Engine
from modelserver.files import Files
from modelserver.finish import Finish, NotServedYetError
from modelserver.ids import derived_id
from modelserver.jobs import fail, tell
from modelserver.progress import Done, Failed, Progress
from modelserver.trainer import Trainer, TrainingSettings, write_order
from modelserver.validate import MIN_EXAMPLES, TrainingFileError, check_file
from modelserver.waits import PASSING, Waits, explain

log = logging.getLogger(__name__)

_POLL_S = 0.05
_IDLE_S = 30.0  # looks for owed results this often, and at the clock
_RETRY_S = 1.0  # while the database does not answer
_GRACE_S = 30.0  # what a trainer gets to save a checkpoint

Stage = Literal["check", "train", "serve"]

_UNDER_WAY = "status IN ('running', 'queued') AND NOT is_paused AND id"
_TRAINED = "(SELECT value FROM json_each(?))"
_DUE: Mapping[Stage, str] = {
    "check": "status = 'validating_files' ORDER BY seq LIMIT 1",
    # One that was being trained comes before the queue.
    "train": f"{_UNDER_WAY} NOT IN {_TRAINED} ORDER BY status = 'running' DESC, seq LIMIT 1",
    "serve": f"{_UNDER_WAY} IN {_TRAINED} ORDER BY seq",
}


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
        self._finish = Finish(database=database, files=files, engine=engine, data_dir=data_dir)
        self._waits = Waits()
        self._trained: set[str] = set()  # jobs whose model could not be served yet
        self._tidy_at = 0.0
        self._is_stopping = threading.Event()
        self._new_work = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, args=(stage,), name=stage)
            for stage in get_args(Stage)
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

    def _work(self, stage: Stage) -> None:
        while not self._is_stopping.is_set():
            try:
                self._step(stage)
            except Exception:  # nobody would begin the thread again
                log.exception("the rows do not answer; trying again")
                self._is_stopping.wait(_RETRY_S)

    def _step(self, stage: Stage) -> None:
        """Moves on one job, or waits for one."""
        if stage == "check":  # by the thread that a long training leaves free
            self._tidy()
        with self._new_work:
            job = self._next(stage)
            wait_s = self._waits.left_s(job["id"]) if job else _IDLE_S
            if job is None or wait_s > 0:
                if not self._is_stopping.is_set():
                    self._new_work.wait(min(wait_s, _IDLE_S))
                return
        try:
            {"check": self._check, "train": self._train, "serve": self._serve}[stage](job)
            self._waits.forget(job["id"])
        except (*PASSING, NotServedYetError) as error:
            self._put_off(job, error)
        except Exception:  # a fault of ours ends the job, and no other
            log.exception("job %s could not be moved on", job["id"])
            self._give_up(job)
        self.wake()

    def _tidy(self) -> None:
        if time.monotonic() < self._tidy_at:
            return
        self._tidy_at = time.monotonic() + _IDLE_S
        try:
            self._files.drop_expired()
            self._finish.write_owed_results()
        except OSError:
            log.exception("the files could not be tidied; trying again")

    def _next(self, stage: Stage) -> sqlite3.Row | None:
        """The oldest job; what holds that one up (a full disk) holds up the others too.

        Models that are to be served do not wait for one another.
        """
        trained = () if stage == "check" else (json.dumps(sorted(self._trained)),)
        jobs = self._database.rows(f"SELECT * FROM jobs WHERE {_DUE[stage]}", *trained)
        return min(jobs, key=lambda job: self._waits.left_s(job["id"]), default=None)

    def _put_off(self, job: sqlite3.Row, error: BaseException) -> None:
        """The job goes on later; that is told once for each reason."""
        what = "The job is held up"
        if isinstance(error, NotServedYetError):
            what = "The model is trained and kept, but cannot be served yet"
            with self._new_work:
                self._trained.add(job["id"])
        why = explain(error.__cause__ or error, self._data_dir)
        message = f"{what}: {why}. The server tries again by itself"
        log.warning("job %s waits %.0f s: %s", job["id"], self._waits.put_off(job["id"]), message)
        event_id = derived_id("ftevent-", job["id"], message)
        with suppress(sqlite3.Error), self._database.transaction() as db:
            tell(db, job["id"], message, level="warn", event_id=event_id)

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
        except OSError as error:
            return param, f"it cannot be read: {error.strerror or error}"
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
        outcome = progress.outcome or self._follow(job, folder, progress)
        self._end(job, outcome)

    def _serve(self, job: sqlite3.Row) -> None:
        """Another try for a model that is trained."""
        if not self._mark_running(job):
            return
        folder = self._data_dir / "jobs" / job["id"]
        progress = Progress(self._database, job, folder, self._data_dir)
        progress.read()
        self._end(job, progress.outcome)
        with self._new_work:
            self._trained.discard(job["id"])

    def _end(self, job: sqlite3.Row, outcome: Done | Failed | None) -> None:
        if isinstance(outcome, Done):
            outcome = self._finish.end(job, outcome)
        if isinstance(outcome, Failed):
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

        def prepare() -> None:
            write_order(
                folder,
                job,
                base=self._engine.base_source(job["base"]),
                data_dir=self._data_dir,
                training=self._training,
                files=self._files,
            )
            progress.end_line()

        module, processes = self._engine.trainer_module, self._training.processes
        trainer = Trainer.start_or_adopt(folder, module, processes, prepare)
        log.info("job %s: %s", job["id"], "training" if trainer.is_ours else "still training")
        stop_by: float | None = None
        while not trainer.has_ended():
            is_wanted = self._look(job, progress)
            if stop_by is None and not is_wanted:
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

    def _look(self, job: sqlite3.Row, progress: Progress) -> bool:
        """Takes in what the trainer has told; whether the job is still wanted.

        What cannot be read or noted now is at a later look: the trainer works on meanwhile.
        """
        try:
            progress.read()
            return self._is_wanted(job)
        except PASSING as error:
            if not self._is_stopping.wait(_RETRY_S):
                log.warning("job %s: its progress is not noted yet: %s", job["id"], error)
        return not self._is_stopping.is_set()

    def _is_wanted(self, job: sqlite3.Row) -> bool:
        row = self._database.row("SELECT status FROM jobs WHERE id = ?", job["id"])
        return row is not None and row["status"] == "running" and not self._is_stopping.is_set()

    def _give_up(self, job: sqlite3.Row) -> None:
        """Fails the job; a trainer that is at work for it ends first."""
        Trainer.end(self._data_dir / "jobs" / job["id"], _GRACE_S)
        self._fail(job, "the server met an error of its own; its log has the details")

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
