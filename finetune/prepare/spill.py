"""The spill: what was read, in a file without a name, to go over it again.

The second pass then needs no parser, sees exactly what the first one saw also where the source has
changed meanwhile, and works for any format. The file vanishes with the process, however that ends.
"""

import marshal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from finetune.prepare.batch import Batch


class Spill:
    """Batches, written once and read as often as needed."""

    def __init__(self, folder: Path) -> None:
        """Args:
        folder: where there should be room; elsewhere if nothing can be written there.
        """
        self.folder = folder
        self.places: list[tuple[int, int, int]] = []
        """Of each batch: its first byte, its bytes, its examples."""
        self._file = open_nameless(folder)

    def add(self, batch: Batch) -> None:
        """Keep a batch. Marshal is the fastest for plain lists, and nobody else reads this file."""
        numbers = batch.numbers
        if isinstance(numbers, range):
            packed: Any = (numbers.start, numbers.stop)
        else:
            packed = list(numbers)
        record: Any = (packed, batch.prompts, batch.completions, batch.lines)
        data = marshal.dumps(record)
        self.places.append((self._file.tell(), len(data), len(batch)))
        self._file.write(data)
        self._file.flush()

    def __iter__(self) -> Iterator[Batch]:
        for start, size, _count in self.places:
            yield self._read(start, size)

    def pick(self, rows: Sequence[int]) -> list[tuple[str, str]]:
        """Prompt and completion of some examples, by their places in the survey."""
        found: dict[int, tuple[str, str]] = {}
        first = 0
        wanted = sorted(rows)
        for start, size, count in self.places:
            inside = [row - first for row in wanted if first <= row < first + count]
            if inside:
                batch = self._read(start, size)
                found |= {
                    first + place: (batch.prompts[place], batch.completions[place])
                    for place in inside
                }
            first += count
        return [found[row] for row in rows if row in found]

    def fileno(self) -> int:
        """To hand the file over to another process, which finds batches by their places."""
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()

    def _read(self, start: int, size: int) -> Batch:
        self._file.seek(start)
        return load_batch(self._file.read(size))


def load_batch(data: bytes) -> Batch:
    """A batch from its bytes in the file."""
    packed, prompts, completions, lines = marshal.loads(data)
    numbers = range(*packed) if isinstance(packed, tuple) else packed
    return Batch(numbers=numbers, prompts=prompts, completions=completions, lines=lines)


def open_nameless(folder: Path) -> BinaryIO:
    """A file that vanishes when it is closed; elsewhere if nothing can be written in the folder."""
    with suppress(OSError):
        return tempfile.TemporaryFile(dir=folder)
    return tempfile.TemporaryFile()
