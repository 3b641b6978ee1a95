"""Excel: the rows of one sheet, as they are shown."""

import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, time
from pathlib import Path
from typing import Any

import openpyxl

from finetune.prepare.complaints import Complaints
from finetune.prepare.errors import UnreadableFileError
from finetune.prepare.readers.table import Row, name_columns, named
from finetune.prepare.rows import Rows

MAX_UNPACKED = 2 << 30
MAX_RATIO = 150
"""A sheet is XML, which packs to a fifteenth or a fortieth. More than this is a bomb."""
_SMALL = 32 << 20  # here no ratio does harm
MAX_ROWS = 1_048_576
"""Excel's own limit. A row that is numbered beyond it has all the empty ones before it read."""


def sheets_of(path: Path) -> list[str]:
    """The names of the sheets.

    Raises:
        UnreadableFileError: the file is damaged, encrypted, or a bomb.
    """
    check_unpacked(path)
    try:
        with _opened(path) as book:
            return [sheet.title for sheet in book.worksheets]
    except Exception as error:  # openpyxl meets damage in more ways than it names
        raise _unsound(error) from error


def choose_sheet(path: Path, wanted: str | None) -> str:
    """A sheet by its name or number; the first where none is wanted.

    Raises:
        UnreadableFileError: there is no such sheet; the message names those there are.
    """
    sheets = sheets_of(path)
    if not sheets:
        raise UnreadableFileError("the file has no sheet with cells")
    if wanted is None or wanted in sheets:
        return wanted or sheets[0]
    with suppress(ValueError):
        if 1 <= int(wanted) <= len(sheets):
            return sheets[int(wanted) - 1]
    named_ = ", ".join(f"{number} {name}" for number, name in enumerate(sheets, start=1))
    raise UnreadableFileError(f"there is no sheet {wanted}; there are {named_}")


def read_excel(path: Path, complaints: Complaints, *, sheet: str) -> Iterator[Rows]:
    """The rows of a sheet under its first one, which names the columns.

    A formula counts as the value that Excel stored with it; where none is stored, the row is
    reported.

    Raises:
        UnreadableFileError: the file is damaged.
    """
    try:
        with _opened(path, data_only=True) as book:
            rows = _rows(path, book[sheet], complaints)
            header = name_columns(next(rows, (0, []))[1])
            padded = ((number, cells + [""] * (len(header) - len(cells))) for number, cells in rows)
            yield from named(padded, header, path.name, complaints, "row")
    except UnreadableFileError:
        raise
    except Exception as error:  # as above
        raise _unsound(error) from error


def check_unpacked(path: Path) -> None:
    """Refuse what would fill the memory.

    Raises:
        UnreadableFileError
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except Exception as error:  # as above
        raise _unsound(error) from error
    ratio = unpacked / max(1, path.stat().st_size)
    if unpacked > MAX_UNPACKED or (unpacked > _SMALL and ratio > MAX_RATIO):
        raise UnreadableFileError(
            f"the file unpacks to {unpacked:,} bytes, {ratio:,.0f} times its size; save it as CSV"
        )


@contextmanager
def _opened(path: Path, *, data_only: bool = False) -> Iterator[Any]:
    """By the open file: openpyxl would refuse a name without `.xlsx`."""
    with path.open("rb") as file:
        book = openpyxl.load_workbook(file, read_only=True, data_only=data_only)
        try:
            yield book
        finally:
            book.close()


def _rows(path: Path, sheet: Any, complaints: Complaints) -> Iterator[Row]:
    sheet.reset_dimensions()  # what the file says of its size may be a lie
    formulas = _Formulas(path, sheet.title)
    try:
        for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
            if number > MAX_ROWS:
                raise UnreadableFileError(
                    f"the sheet {sheet.title!r} has a row beyond {MAX_ROWS:,}, Excel's last one; "
                    f"open it and save it again as .xlsx"
                )
            cells = [_shown(value) for value in row]
            if "" in cells and formulas.has_unknown(number, cells):
                reason = "has a formula without a value; open the file in Excel and save it again"
                complaints.add(path.name, f"row {number}", reason)
            elif any(cells):
                yield number, cells
    finally:
        formulas.close()


class _Formulas:
    """The same sheet with formulas instead of values, opened when a cell is first empty."""

    def __init__(self, path: Path, sheet: str) -> None:
        self._path = path
        self._sheet = sheet
        self._stack = ExitStack()
        self._is_open = False
        self._rows: Iterator[tuple[Any, ...]] = iter(())
        self._number = 0

    def has_unknown(self, number: int, cells: list[str]) -> bool:
        if not self._is_open:
            self._is_open = True
            sheet = self._stack.enter_context(_opened(self._path))[self._sheet]
            sheet.reset_dimensions()
            self._rows = sheet.iter_rows(values_only=True)
        while self._number < number:
            row = next(self._rows, ())
            self._number += 1
        return any(
            not cell and isinstance(value, str) and value.startswith("=")
            for cell, value in zip(cells, row, strict=False)
        )

    def close(self) -> None:
        self._stack.close()


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    return str(value)


def _unsound(error: Exception) -> UnreadableFileError:
    return UnreadableFileError(
        f"this is no sound .xlsx, or it has a password ({error}); open it and save it again as "
        f".xlsx"
    )
