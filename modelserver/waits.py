"""Jobs that something passing holds up: a full disk, a database that is locked.

Such a job does not fail. It is tried again, after each failure in a row a while longer. That is
kept in memory alone: a restarted server tries at once.
"""

import errno
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from modelserver.errors import LoadingError

FIRST_WAIT_S = 1.0  # doubled with each failure
LONGEST_WAIT_S = 60.0

PASSING = (OSError, sqlite3.Error, LoadingError)
"""What may be over when it is tried again."""


@dataclass(frozen=True, kw_only=True)
class _Wait:
    failures: int
    until: float  # of the monotonic clock


class Waits:
    """By the job's id. Each job is the matter of one thread."""

    def __init__(self) -> None:
        self._waits: dict[str, _Wait] = {}

    def put_off(self, job_id: str) -> float:
        """For how many seconds it waits now."""
        before = self._waits.get(job_id)
        failures = before.failures + 1 if before else 1
        wait_s = min(FIRST_WAIT_S * 2.0 ** min(failures - 1, 30), LONGEST_WAIT_S)
        self._waits[job_id] = _Wait(failures=failures, until=time.monotonic() + wait_s)
        return wait_s

    def forget(self, job_id: str) -> None:
        self._waits.pop(job_id, None)

    def left_s(self, job_id: str) -> float:
        wait = self._waits.get(job_id)
        return max(0.0, wait.until - time.monotonic()) if wait else 0.0


def is_disk_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def explain(error: BaseException, data_dir: Path) -> str:
    """What holds it up, and what to do: the same words for the same reason."""
    if is_disk_full(error):
        return f"the disk is full; make room in {data_dir}"
    if isinstance(error, sqlite3.Error):
        return f"the database in {data_dir} says: {error}"
    return f"{type(error).__name__}: {error}"
