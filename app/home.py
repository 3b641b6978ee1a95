"""The data folder: made for its owner alone, and held by one process at a time.

Chroma on disk and the model server's files bear one process only. The lock is the kernel's, so
a killed process leaves none behind; beside it a note says who holds it and where it answers.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from app.settings import Settings
from store import utc_now

LOCK = "nod.lock"
NOTE = "running.json"
OURS = {"nod.db", LOCK, NOTE, "chroma", "models", "datasets", "uploads", "modelserver.log"}
LAID_THERE = {"prices.toml", "documents", "lost+found"}
"""What may lie there before the first start."""


class HomeError(RuntimeError):
    """The data folder cannot be used.

    HomeError
    └── HomeBusyError   another process works on it
    """


class HomeBusyError(HomeError):
    """Another process works on the data folder; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who works on the data folder."""

    pid: int
    host: str
    command: str
    since: str
    web_url: str | None = None
    model_base_url: str | None = None


def prepare_home(home: Path) -> bool:
    """Make the data folder, for its owner alone; whether it was new or empty.

    Raises:
        HomeError: it cannot be made or written.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {path.name for path in home.iterdir()}
        if not names and home.stat().st_mode & 0o077:
            home.chmod(0o700)  # made by hand, and as open as those are
    except OSError as error:
        raise HomeError(
            f"the data folder {home} cannot be made or read ({error.strerror}); "
            f"set NOD_HOME to a folder of yours"
        ) from None
    if not os.access(home, os.W_OK | os.X_OK):
        raise HomeError(
            f"the data folder {home} cannot be written by this user; "
            f"set NOD_HOME to another one, or mend its rights"
        )
    return not names


def refuse_stranger(home: Path) -> None:
    """Keep out of a folder that another program, or a person, works in.

    Raises:
        HomeError: it holds something, and nothing of Nod's.
    """
    names = {path.name for path in home.iterdir()} if home.is_dir() else set()
    # A person's hidden files tell nothing.
    seen = {name for name in names if not name.startswith(".")}
    strangers = seen - LAID_THERE
    if strangers and not names & OURS:
        raise HomeError(
            f"the data folder {home} is not Nod's: it holds {min(strangers)} and no database; "
            f"set NOD_HOME to an empty folder, or to one that Nod has made"
        )


@contextmanager
def hold_home(
    settings: Settings, command: str, *, model_base_url: str | None = None
) -> Iterator[None]:
    """Work on the data folder alone, where the settings need that.

    Raises:
        HomeBusyError: another process does already.
        HomeError: the folder is not Nod's.
    """
    if not settings.is_for_one_process:
        yield
        return
    refuse_stranger(settings.home)
    lock = FileLock(settings.home / LOCK)
    try:
        lock.acquire(timeout=1)  # a look at who holds it takes it for a moment
    except Timeout:
        raise HomeBusyError(_describe(settings.home)) from None
    holder = Holder(
        pid=os.getpid(),
        host=socket.gethostname(),
        command=command,
        since=utc_now().isoformat(timespec="seconds"),
        web_url=settings.web_url if command in ("up", "web") else None,
        model_base_url=model_base_url,
    )
    note = settings.home / NOTE
    try:
        note.write_text(json.dumps(asdict(holder)))
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def read_holder(home: Path) -> Holder | None:
    """Who holds the data folder at this moment, if anybody does."""
    if not (home / LOCK).exists():
        return None
    try:
        with FileLock(home / LOCK, timeout=0):
            return None  # nobody: a note that is still there was left by a killed process
    except Timeout:
        return _read_note(home)


def _read_note(home: Path) -> Holder:
    try:
        return Holder(**json.loads((home / NOTE).read_text()))
    except (OSError, ValueError, TypeError):  # it is being written at this moment
        return Holder(pid=0, host="", command="?", since="?")


def _describe(home: Path) -> str:
    holder = _read_note(home)
    return (
        f"`nod {holder.command}` works on {home} already: process {holder.pid} on "
        f"{holder.host}, since {holder.since}. Stop it, use its console"
        f"{f' at {holder.web_url}/console' if holder.web_url else ''}, or set NOD_HOME to "
        f"another folder. Several processes need NOD_DATABASE_URL, NOD_CHROMA_URL and "
        f"NOD_MODEL_BASE_URL."
    )
