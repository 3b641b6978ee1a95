"""`nod ingest` in processes of their own, each killing itself in a given step.

Run as a program it takes a line of JSON for each, {"home", "url", "step", "folder"}, forks, and
answers with the child's exit status: imports take seconds, and are done once this way. What the
command says is appended to HOME.log. With the step `never` it runs to its end.
"""

import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any

import app.nod
import knowledge.ingest
from app.main import run
from knowledge.dense import DenseIndex
from knowledge.index import Index

Act = Callable[..., Awaitable[Any]]


STEPS: dict[str, tuple[Any, str, bool]] = {
    # The place of an act, its name, and whether it is done before the process dies.
    "stored": (knowledge.ingest, "_replace_chunks", True),  # and not committed
    "committed": (Index, "remove", False),  # and what has no row any more is in Chroma still
    "between": (knowledge.ingest, "_ingest_file", True),  # the first file and the second
    "read": (knowledge.ingest, "_remove_gone", False),  # every file, and none is removed
    "removing": (knowledge.ingest, "remove", True),  # the first of the documents that have gone
    "embedding": (DenseIndex, "write", False),
    "embedded": (DenseIndex, "write", True),  # and not marked as such
}


def make_deadly(step: str) -> None:
    if step in STEPS:
        place, name, is_done_first = STEPS[step]
        setattr(place, name, _deadly(getattr(place, name), is_done_first))


def _deadly(act: Act, is_done_first: bool) -> Act:
    @wraps(act)
    async def act_and_die(*args: Any, **kwargs: Any) -> Any:
        is_empty = isinstance(args[-1], list | set | tuple) and not args[-1]
        done = await act(*args, **kwargs) if is_done_first or is_empty else None
        if not is_empty:  # to have nothing to do is no step
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    return act_and_die


def fork(order: dict[str, str]) -> int:
    """Run one command; its exit status, negative for the signal that ended it."""
    child = os.fork()
    if child == 0:
        _ingest(order)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _ingest(order: dict[str, str]) -> None:
    log = os.open(f"{order['home']}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ |= {"NOD_HOME": order["home"], "NOD_MODEL_BASE_URL": order["url"]}
    os.chdir(Path(order["home"]).parent)
    sys.argv = ["nod", "ingest", order["folder"]]
    make_deadly(order["step"])
    code = 1
    try:
        run()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    app.nod._import_rooms()
    for line in sys.stdin:
        sys.stdout.write(f"{fork(json.loads(line))}\n")
        sys.stdout.flush()
