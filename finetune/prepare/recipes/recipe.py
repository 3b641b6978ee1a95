"""A recipe: how the rows of one kind of task become examples."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.prepare.complaints import Complaints
from finetune.prepare.conversation import RowError
from finetune.prepare.rows import Rows

SAMPLES = Path(__file__).parent / "samples"
Cells = dict[str, Any]
"""A record whose names are in small letters."""
Convert = Callable[[Cells, bool], list[dict[str, Any]]]
"""The examples of a record; the flag says whether chat messages are wanted."""
Conversion = Callable[[Iterator[Rows], str, Complaints, bool], Iterator[Rows]]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A task that people tune models for."""

    name: str
    task: str
    """What the model learns, in a line."""
    columns: str
    """What a row has."""
    example: str
    """What becomes of a row, in a line."""
    sample: str
    """A file in `samples/`."""
    conversion: Conversion

    @property
    def sample_path(self) -> Path:
        return SAMPLES / self.sample

    def convert(
        self, rows: Iterator[Rows], file: str, complaints: Complaints, *, as_chat: bool
    ) -> Iterator[Rows]:
        """Rows in the shape that is trained on."""
        return self.conversion(rows, file, complaints, as_chat)


def each(convert: Convert) -> Conversion:
    """A conversion that looks at one row at a time."""

    def conversion(
        rows: Iterator[Rows], file: str, complaints: Complaints, as_chat: bool
    ) -> Iterator[Rows]:
        for some in rows:
            numbers: list[int] = []
            records: list[dict[str, Any]] = []
            for number, record in zip(some.numbers, some.records, strict=True):
                try:
                    made = convert(cells_of(record), as_chat)
                except RowError as error:
                    complaints.add(file, f"row {number}", str(error))
                    continue
                records += made
                numbers += [number] * len(made)
            yield Rows(numbers=numbers, records=records)

    return conversion


def cells_of(record: dict[str, Any]) -> Cells:
    return {name.strip().casefold().replace("_", " "): value for name, value in record.items()}


def cell(cells: Cells, *names: str) -> str:
    """The text under the first of these names that there is.

    Raises:
        RowError: there is none, or it is empty.
    """
    found = optional(cells, *names)
    if not found:
        raise RowError(f"has no {names[0]}; it has {', '.join(list(cells)[:8])}")
    return found


def optional(cells: Cells, *names: str) -> str:
    """The same, or nothing."""
    for name in names:
        value = cells.get(name)
        if isinstance(value, list):
            value = "\n".join(map(str, value))
        if value is not None and str(value).strip():
            return str(value).strip()
    return ""
