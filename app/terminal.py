"""What the commands share: the screen, the settings, and errors of one clear line."""

import asyncio
import errno
import getpass
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.logs import set_up_logs
from app.settings import Settings, SettingsError, load_settings

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130
MEND = {
    errno.ENOENT: "look whether the folder is there and rightly spelt",
    errno.ENOTDIR: "a file stands where a folder should; give another path",
    errno.EISDIR: "it is a folder; give a file",
    errno.EACCES: "give a path that this user may write",
    errno.EPERM: "give a path that this user may write",
    errno.EROFS: "nothing can be written there; give a path on another disk",
    errno.ENOSPC: "make room, or give a path on another disk",
}
"""The way out of what the operating system says of a path."""

# What goes into a pipe or a file is not cut to a screen's width.
screen = Console(width=None if sys.stdout.isatty() else 200, emoji=False)
errors = Console(stderr=True, emoji=False)
"""No emoji: the name `ft:base:fire:1` is to be shown as it is."""


NARROW = 72
"""Columns of a terminal below which tables save space."""


class Flags:
    """What stands before the command."""

    debug = False


flags = Flags()


class CommandError(Exception):
    """The command cannot be done; the message says why, and the way out."""


def run(main: Callable[[Settings], Awaitable[None]], *, log_level: str | None = "warning") -> None:
    """Load the settings, run a command, and turn what it raises into one line and an exit code."""
    try:
        settings = load_settings()
        set_up_logs(settings, level="debug" if flags.debug else log_level)
        with asyncio.Runner(loop_factory=_event_loop()) as runner:
            runner.run(_awaited(main, settings))
    except (KeyboardInterrupt, typer.Abort):
        raise typer.Exit(INTERRUPTED) from None
    except typer.Exit:
        raise
    except Exception as error:
        if flags.debug:
            raise
        errors.print(f"[red]nod:[/] {escape(describe(error))}", soft_wrap=True, highlight=False)
        raise typer.Exit(WRONG_USAGE if isinstance(error, SettingsError) else FAILED) from None


@contextmanager
def asking(instead: str) -> Iterator[None]:
    """Around a question to the person: Ctrl-C ends it, and so does an input that has ended.

    The event loop's own handler would only take note, and wait for the answer.

    Args:
        instead: what is said then: what has not been done, and how to do without the question.

    Raises:
        CommandError: nobody answered.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except (typer.Abort, KeyboardInterrupt):
        raise CommandError(f"nobody answered; {instead}") from None
    finally:
        signal.signal(signal.SIGINT, before)


def _event_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it runs: it takes a tenth off the processor time of a message."""
    try:
        import uvloop
    except ImportError:  # on Windows
        return None
    return uvloop.new_event_loop


async def _awaited(main: Callable[[Settings], Awaitable[None]], settings: Settings) -> None:
    await main(settings)


def describe(error: Exception) -> str:
    """One line. Our own errors are written to be read; of others the kind is told as well."""
    own = type(error).__module__.split(".")[0] in ("app", "bot", "finetune", "knowledge", "store")
    said = str(error).strip() or "no details"
    if own:
        return said
    if isinstance(error, OSError) and error.filename and error.strerror:
        mend = MEND.get(error.errno or 0, "nod --debug shows where")
        return f"{os.fsdecode(error.filename)}: {error.strerror}; {mend}"
    first = said.splitlines()[0]
    return f"{type(error).__name__}: {first} (nod --debug shows where)"


def whoami() -> str:
    """Who is logged as having given a command."""
    try:
        return f"{getpass.getuser()[:48]} (terminal)"
    except (KeyError, OSError):  # an account without a name, as containers have
        return "terminal"


def table(*columns: str, title: str | None = None) -> Table:
    """A table in the one style that all commands have; in a narrow terminal it stands closer."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="dim")
    made.padding = (0, 1, 0, 0) if screen.width < NARROW else (0, 1)
    for column in columns:
        is_number = column.endswith("#")
        made.add_column(
            column.rstrip("#"), justify="right" if is_number else "left", overflow="fold"
        )
    return made


def when(at: object) -> str:
    """A time as a person reads it, in UTC to the minute."""
    return f"{at:%Y-%m-%d %H:%M}" if at is not None else "-"
