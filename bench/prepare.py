"""`nod prepare` beside OpenAI's old `fine_tunes.prepare_data`, on a million pairs.

The old tool is `openai[datalib]==0.28.1`, which wants a virtual environment of its own:
`NOD_BENCH_OLD_OPENAI` names the python of one; otherwise it is made in bench/out, where the network
allows. `NOD_BENCH_ROWS` sets another size. Memory is the most that the process and all of its
children held together, looked at twenty times a second; what two of them share counts twice.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

ROWS = int(os.environ.get("NOD_BENCH_ROWS", "1000000"))
OLD_PYTHON = os.environ.get("NOD_BENCH_OLD_OPENAI")
OUT = Path(__file__).parent / "out"
OLD_PACKAGES = ("openai[datalib]==0.28.1", "numpy<2", "pandas<3")
SAMPLE = 1000

_NOD = "import sys; from app.main import run; sys.argv[0] = 'nod'; run()"
_OLD = (
    "import sys, pandas as pd; from openai.cli import FineTune; import argparse; "
    "FineTune.prepare_data(argparse.Namespace(file=sys.argv[1], quiet=True))"
)
_random = random.Random(0)
_WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "rd", "sta", "mil")]


@dataclass(frozen=True, kw_only=True)
class _Ran:
    seconds: float
    processor_s: float
    memory_mib: float


def main() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="nod-bench-") as name:
        folder = Path(name)
        ours_file, old_file = folder / "ours.jsonl", folder / "old.jsonl"
        _write_pairs(ours_file)
        os.link(ours_file, old_file)
        figures = []
        old_python = _find_old_python()
        if old_python:
            old = _run([old_python, "-c", _OLD, str(old_file)], folder)
            figures += _figures("old tool", old)
        ours = _run([sys.executable, "-c", _NOD, "prepare", "-q", str(ours_file)], folder)
        figures += _figures("nod prepare", ours, "old tool" if old_python else None)
        if old_python:
            _compare(folder)
    return {"rows": ROWS, "figures": figures}


def _figures(name: str, ran: _Ran, beside: str | None = None) -> list[dict[str, Any]]:
    values = (
        ("speed", ROWS / ran.seconds, "rows/s"),
        ("processor time", ran.processor_s, "s"),
        ("memory", ran.memory_mib, "MiB"),
    )
    return [
        {
            "name": f"{name}, {what}",
            "value": value,
            "unit": unit,
            "ratio_to": f"{beside}, {what}" if beside else None,
        }
        for what, value, unit in values
    ]


def _write_pairs(path: Path) -> None:
    """Some 140 bytes a line; every hundredth is a duplicate."""
    with path.open("w", encoding="utf-8") as file:
        line = ""
        for number in range(ROWS):
            if not line or number % 100:
                line = json.dumps(
                    {
                        "prompt": f"{' '.join(_random.choices(_WORDS, k=8))} {number}".capitalize(),
                        "completion": " ".join(_random.choices(_WORDS, k=12)).capitalize(),
                    }
                )
            file.write(f"{line}\n")


def _run(command: Sequence[str], folder: Path) -> _Ran:
    """Runs to the end.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    with tempfile.TemporaryFile(dir=folder) as said:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=_env(folder))
        with _Watch(process.pid) as watch:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(
                f"{command[0]} failed: {said.read()[-2000:].decode(errors='replace')}"
            )
    processor_s = usage.ru_utime + usage.ru_stime
    memory_mib = max(usage.ru_maxrss / 1024, watch.most / 2**20)  # the first misses no moment
    return _Ran(seconds=seconds, processor_s=processor_s, memory_mib=memory_mib)


class _Watch:
    """The most bytes that a process and its children have held at one moment."""

    def __init__(self, pid: int) -> None:
        self.most = 0
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.05):
            self.most = max(self.most, sum(map(_held, _with_children(self._pid))))


def _with_children(pid: int) -> Iterator[int]:
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended meanwhile
            for child in path.read_text().split():
                yield from _with_children(int(child))


def _held(pid: int) -> int:
    """Bytes in memory; 0 where the process has ended."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _env(folder: Path) -> dict[str, str]:
    return {**os.environ, "NOD_HOME": str(folder / "nod"), "NOD_SAMPLE": "0"}


def _compare(folder: Path) -> None:
    """Both wrote the same rows in the same order."""
    with (
        (folder / "ours_prepared.jsonl").open() as ours,
        (folder / "old_prepared.jsonl").open() as old,
    ):
        for number, (one, other) in enumerate(zip(ours, old, strict=True), start=1):
            if number % SAMPLE == 1 and json.loads(one) != json.loads(other):
                raise RuntimeError(f"line {number} differs: {one!r} and {other!r}")


def _find_old_python() -> str | None:
    """The python that has the old tool; None where it cannot be installed."""
    if OLD_PYTHON:
        return OLD_PYTHON
    folder = OUT / "old-openai"
    python = folder / "bin" / "python"
    try:
        if not (folder / "ready").exists():
            venv.create(folder, with_pip=True)
            subprocess.run(
                [str(python), "-m", "pip", "install", "--quiet", *OLD_PACKAGES], check=True
            )
            (folder / "ready").touch()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"the old tool is not there to compare with: {error}")
        return None
    return str(python)
