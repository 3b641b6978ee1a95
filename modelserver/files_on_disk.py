"""Making sure that what was written is on disk."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Wait until a file, or each file of a folder, is on disk."""
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
