"""Making sure that what was written is on disk, and whole."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


def sync(path: Path) -> None:
    """Wait until a file, or each file of a folder, is on disk."""
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_once(target: Path, make: Callable[[Path], None]) -> None:
    """Lets `make` write a file or folder, which appears at `target` only when complete.

    Of several processes one makes it and the others wait. What an earlier, killed process
    left half-done is removed.
    """
    with FileLock(target.with_name(f".{target.name}.lock")):
        for leftover in target.parent.glob(f".{target.name}.half-*"):
            shutil.rmtree(leftover)
        if target.exists():
            return
        make_whole(target, make)


def make_whole(target: Path, make: Callable[[Path], None]) -> None:
    """Lets `make` write a file or folder, which appears at `target` only when complete."""
    with _scratch(target) as scratch:
        make(scratch / target.name)
        sync(scratch / target.name)
        (scratch / target.name).rename(target)


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.half-", dir=target.parent))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
