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
        self._file = _open(folder)
        self._places: list[tuple[int, int, int]] = []

    def add(self, batch: Batch) -> None:
        """Keep a batch. Marshal is the fastest for plain lists, and nobody else reads this file."""
        numbers = batch.numbers
        if isinstance(numbers, range):
            packed: Any = (numbers.start, numbers.stop)
        else:
            packed = list(numbers)
        record: Any = (packed, batch.prompts, batch.completions, batch.lines)
        data = marshal.dumps(record)
        self._places.append((self._file.tell(), len(data), len(batch)))
        self._file.write(data)

    def __iter__(self) -> Iterator[Batch]:
        for start, size, _count in self._places:
            self._file.seek(start)
            packed, prompts, completions, lines = marshal.loads(self._file.read(size))
            numbers = range(*packed) if isinstance(packed, tuple) else packed
            yield Batch(numbers=numbers, prompts=prompts, completions=completions, lines=lines)

    def pick(self, rows: Sequence[int]) -> list[tuple[str, str]]:
        """Prompt and completion of some examples, by their places in the survey."""
        found: dict[int, tuple[str, str]] = {}
        first = 0
        wanted = sorted(rows)
        for start, size, count in self._places:
            inside = [row for row in wanted if first <= row < first + count]
            if inside:
                self._file.seek(start)
                _, prompts, completions, _ = marshal.loads(self._file.read(size))
                found |= {row: (prompts[row - first], completions[row - first]) for row in inside}
            first += count
        return [found[row] for row in rows if row in found]

    def close(self) -> None:
        self._file.close()


def _open(folder: Path) -> BinaryIO:
    with suppress(OSError):
        return tempfile.TemporaryFile(dir=folder)
    return tempfile.TemporaryFile()
