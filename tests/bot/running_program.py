"""A program of the tests that takes orders, a line of JSON each, and answers with exit statuses."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[[dict[str, object]], int]


@contextmanager
def program(module: str) -> Iterator[Run]:
    """Gives it orders."""
    with subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        orders, ends = process.stdin, process.stdout

        def run(order: dict[str, object]) -> int:
            orders.write(json.dumps(order) + "\n")
            orders.flush()
            while not (line := ends.readline()).strip().lstrip("-").isdigit():
                assert line, "the program has ended"  # else it is a line of the log
            return int(line)

        yield run
