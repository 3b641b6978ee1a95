"""The process that trains one job, whether we started it or a server that was killed did.

A trainer holds a lock on its job's folder for as long as it lives, by a descriptor that it
inherits. So a restarted server can tell whether the job is still being trained, and never
starts it a second time.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelserver.child import WAITING, WAITING_IN_TRAINING, child_environment
from modelserver.files import Files

_NICENESS = 10
_POLL_S = 0.05
_FEW_BYTES = 50 << 20
_NO_ROOM = ("No space left on device", "Disk quota exceeded", "File too large")
_NO_MEMORY = ("out of memory", "MemoryError", "SIGKILL")  # the last, of one process of several
# The shell notes its process id, which is the trainer's after exec, before the trainer runs.
_LAUNCH = f'echo $$ > "$0/trainer.pid" && exec nice -n {_NICENESS} "$@"'
# Several processes on this machine, by torch's launcher; the trainer itself chooses its devices.
_ACCELERATE = (
    *("accelerate.commands.launch", "--multi_gpu", "--num_machines", "1"),
    *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What the server's command line says of training; see `training.order.Options`."""

    precision: str = "auto"
    patience: int = 0
    processes: int = 1  # one for each GPU


class Trainer:
    """`exit_code` is known once it has ended, if it was ours: negative means a signal."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes] | None) -> None:
        self._folder = folder
        self._process = process

    @classmethod
    def start_or_adopt(
        cls, folder: Path, module: str, processes: int, prepare: Callable[[], None]
    ) -> "Trainer":
        """Starts `python -m module folder`, unless such a process is still at work.

        `prepare` comes before a start: nobody else works in the folder then.
        """
        lock = _lock(folder)
        if lock is None:
            return cls(folder, None)
        try:
            prepare()
            with (folder / "log.txt").open("ab") as log:
                process = subprocess.Popen(
                    ["/bin/sh", "-c", _LAUNCH, str(folder), *_command(folder, module, processes)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=_environment(),
                    pass_fds=[lock],
                    start_new_session=True,  # Ctrl+C in our terminal is ours to pass on
                )
        finally:
            os.close(lock)
        return cls(folder, process)

    @classmethod
    def end(cls, folder: Path, grace_s: float) -> None:
        """Asks whoever trains in this folder to go, and sees to it that it does."""
        if not folder.exists():
            return
        trainer = cls(folder, None)
        trainer.send(signal.SIGTERM)
        kill_at = time.monotonic() + grace_s
        while not trainer.has_ended():
            if time.monotonic() > kill_at:
                trainer.send(signal.SIGKILL)
            time.sleep(_POLL_S)

    @property
    def is_ours(self) -> bool:
        return self._process is not None

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode if self._process else None

    def has_ended(self) -> bool:
        if self._process is not None:
            return self._process.poll() is not None
        lock = _lock(self._folder)
        if lock is not None:
            os.close(lock)
        return lock is not None

    def send(self, number: signal.Signals) -> None:
        """SIGTERM asks it to save a checkpoint and go, SIGKILL ends it."""
        if not self.has_ended():
            with contextlib.suppress(ProcessLookupError, ValueError, OSError):
                os.kill(self._pid, number)

    @property
    def _pid(self) -> int:
        # The note may still be that of an earlier trainer, whose number is somebody else's now.
        if self._process is not None:
            return self._process.pid
        return int((self._folder / "trainer.pid").read_text())

    def explain_death(self) -> str:
        """Why it ended without saying so, in words for the person who waits for the model."""
        log = _tail(self._folder / "log.txt")
        free = shutil.disk_usage(self._folder).free
        if any(words in log for words in _NO_ROOM) or free < _FEW_BYTES:
            return (
                f"the disk is full ({free >> 20} MB free): make room in the data folder and "
                "create the job again"
            )
        if self.exit_code == -signal.SIGKILL or any(word in log for word in _NO_MEMORY):
            return (
                "the trainer was killed, most often because memory ran out: close other "
                "programs, choose a smaller batch_size or shorter examples, and create the "
                "job again"
            )
        last = log.strip().rpartition("\n")[2]
        return f"the trainer ended unexpectedly (exit code {self.exit_code}): {last or 'no log'}"


def write_order(
    folder: Path,
    job: sqlite3.Row,
    *,
    base: str,
    data_dir: Path,
    training: TrainingSettings,
    files: Files,
) -> None:
    """The trainer's contract: all that it knows of its job."""
    validation = job["validation_file"]
    order = {
        "job_id": job["id"],
        "base": base,
        "data_dir": str(data_dir),
        "method": job["method"],
        "hyperparameters": json.loads(job["hyperparameters"]),
        "options": {"precision": training.precision, "patience": training.patience},
        "seed": job["seed"],
        "training_file": str(files.path(job["training_file"])),
        "validation_file": str(files.path(validation)) if validation else None,
        "classification": json.loads(job["fine_tune"] or "null") or None,
    }
    part = folder / "job.json.part"
    part.write_text(json.dumps(order, indent=2))
    part.rename(folder / "job.json")


def _command(folder: Path, module: str, processes: int) -> list[str]:
    launcher = [*_ACCELERATE, "--num_processes", str(processes), "-m"] if processes > 1 else []
    return [sys.executable, "-m", *launcher, module, str(folder)]


def _lock(folder: Path) -> int | None:
    """An open descriptor that holds the folder's lock, or None while a trainer holds it."""
    descriptor = os.open(folder / "trainer.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _environment() -> dict[str, str]:
    """A small machine trains with all it has, at low priority; a larger one keeps a core free."""
    cores = os.cpu_count() or 2
    threads = cores if cores <= 2 else cores - 1
    found = child_environment(OMP_NUM_THREADS=str(threads), TOKENIZERS_PARALLELISM="false")
    is_ours = found["GOMP_SPINCOUNT"] == WAITING["GOMP_SPINCOUNT"]  # and not somebody's wish
    return found | WAITING_IN_TRAINING if is_ours else found


def _tail(path: Path, size: int = 4096) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        return file.read().decode(errors="replace")
