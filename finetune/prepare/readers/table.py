"""CSV and TSV: a record a row, named by the first row."""

import csv
from collections.abc import Iterator

from finetune.prepare.complaints import Complaints
from finetune.prepare.errors import UnreadableFileError
from finetune.prepare.rows import BATCH, Rows
from finetune.prepare.source import MAX_ROW_BYTES, Source

MAX_LINES = 5000
"""Of one row. More means a quotation mark that nobody closed."""

Row = tuple[int, list[str]]


def read_table(source: Source, complaints: Complaints, *, delimiter: str) -> Iterator[Rows]:
    """The rows under the header.

    Raises:
        UnreadableFileError: there is no header.
    """
    csv.field_size_limit(MAX_ROW_BYTES)
    rows = _records(_Lines(source, complaints), source.name, complaints, delimiter)
    header = name_columns(next(rows, (0, []))[1])
    yield from named(rows, header, source.name, complaints)


def name_columns(header: list[str]) -> list[str]:
    """The names of the columns; one that comes twice gets a number.

    Raises:
        UnreadableFileError: there are none.
    """
    if not any(header):
        raise UnreadableFileError("the file has no first line that names its columns")
    names: list[str] = []
    for place, name in enumerate(header, start=1):
        clean = name.strip() or f"column {place}"
        names.append(f"{clean} ({place})" if clean in names else clean)
    return names


def named(
    rows: Iterator[Row], header: list[str], name: str, complaints: Complaints, place: str = "line"
) -> Iterator[Rows]:
    """Records of rows that fit the header; the others are reported."""
    width = len(header)
    numbers: list[int] = []
    records: list[dict[str, str]] = []
    for number, cells in rows:
        if len(cells) != width:
            if len(cells) < width or any(cells[width:]):
                complaints.add(
                    name,
                    place.format(number) if "{" in place else f"{place} {number}",
                    f"has {len(cells)} cells, and the header names {width} columns; is there a "
                    f"separator in a text without quotation marks?",
                )
                continue
            cells = cells[:width]  # spreadsheets write empty cells behind
        numbers.append(number)
        records.append(dict(zip(header, cells, strict=True)))
        if len(numbers) == BATCH:
            yield Rows(numbers=numbers, records=records)
            numbers, records = [], []
    yield Rows(numbers=numbers, records=records)


class _Lines:
    """Lines for the csv module, with those of the row that it is reading."""

    def __init__(self, source: Source, complaints: Complaints) -> None:
        self._lines = self._read(source, complaints)
        self._again: list[tuple[int, str]] = []
        self.taken: list[tuple[int, str]] = []
        """Since the last row was whole."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.taken) >= MAX_LINES:
            raise csv.Error(f"a quotation mark is open for {MAX_LINES} lines")
        taken = self._again.pop() if self._again else next(self._lines)
        self.taken.append(taken)
        return taken[1]

    def give_back_all_but_the_first(self) -> None:
        self._again += reversed(self.taken[1:])
        self.taken = []

    @staticmethod
    def _read(source: Source, complaints: Complaints) -> Iterator[tuple[int, str]]:
        for first, lines in source.lines(complaints):
            for number, line in enumerate(lines, start=first):
                yield number, line.decode("utf-8", "surrogateescape") + "\n"


def _records(lines: _Lines, name: str, complaints: Complaints, delimiter: str) -> Iterator[Row]:
    """Rows that are not blank, with the number of their first line."""
    while True:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                number = lines.taken[0][0]
                lines.taken.clear()
                if not cells or not any(cells):
                    continue
                if not _is_text(cells):
                    complaints.add(name, f"line {number}", "has bytes that are not text")
                    continue
                yield number, [cell.replace("\r\n", "\n") for cell in cells]
            return
        except csv.Error as error:
            if not lines.taken:  # at the end of the file
                return
            number, first = lines.taken[0]
            lines.give_back_all_but_the_first()
            if cells_of_one := _lenient(first, delimiter):
                yield number, cells_of_one
            else:
                complaints.add(name, f"line {number}", f"cannot be read: {error}")


def _lenient(line: str, delimiter: str) -> list[str]:
    """A line such as `"5" screen",yes`, where a quotation mark is only a character."""
    if line.count('"') % 2 or not _is_text([line]):
        return []
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _is_text(cells: list[str]) -> bool:
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return False
    return True
