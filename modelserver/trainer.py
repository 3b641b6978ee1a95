"""The process that trains one job, whether we started it or a server that was killed did.

A trainer holds a lock on its job's folder for as long as it lives, by a descriptor that it
inherits. So a restarted server can tell whether the job is still being trained, and never
starts it a second time.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from modelserver.child import WAITING, WAITING_IN_TRAINING, child_environment

_NICENESS = 10
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
    def start_or_adopt(cls, folder: Path, module: str, processes: int = 1) -> "Trainer":
        """Starts `python -m module folder`, unless such a process is still at work."""
        lock = _lock(folder)
        if lock is None:
            return cls(folder, None)
        try:
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
                os.kill(int((self._folder / "trainer.pid").read_text()), number)

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
