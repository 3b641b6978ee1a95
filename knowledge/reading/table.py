"""CSV and Excel: questions and answers where the columns say so, else a passage a row."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl import Workbook

from knowledge.block import Block
from knowledge.chunk import MAX_HEADING, Piece, split_blocks
from knowledge.columns import ANSWER_COLUMNS, QUESTION_COLUMNS
from knowledge.errors import UnreadableDocumentError

HEADING_COLUMNS = {"category", "topic", "section", "heading", "intent", "分类", "类别", "主题"}
MAX_FIELD = 10_000_000  # characters; Python's csv stops at 131,072 by default
MAX_CELLS = 20_000_000
"""Of a workbook, with its gaps: the filled ones that fit into an .xlsx are fewer."""
MAX_LETTERS = 100_000_000
"""Of all pieces of a table: it is longer than its file where names of columns are repeated, and
where a workbook has one text in many cells."""

Row = Sequence[str]


def pieces_of_csv(text: str) -> list[Piece]:
    """A piece a row.

    Raises:
        UnreadableDocumentError: it is no table, or gets too long.
    """
    csv.field_size_limit(MAX_FIELD)
    try:
        rows = csv.reader(io.StringIO(text, newline=""), _dialect(text))
        return list(_bounded(_pieces(rows, "")))
    except csv.Error as error:
        raise UnreadableDocumentError(f"the table cannot be read: {error}") from error


def pieces_of_excel(path: Path) -> list[Piece]:
    """A piece a row, sheet by sheet.

    Raises:
        UnreadableDocumentError: it is mostly gaps, or gets too long.
    """
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        return list(_bounded(_pieces_of_book(book)))
    finally:
        book.close()


def _pieces_of_book(book: Workbook) -> Iterator[Piece]:
    cells = 0

    def rows_of(sheet: Any) -> Iterator[Row]:
        nonlocal cells
        # What the file says of its size may be a lie, and makes every row as wide as the sheet.
        sheet.reset_dimensions()
        for row in sheet.iter_rows(values_only=True):
            cells += 1 + len(row)
            if cells > MAX_CELLS:
                raise UnreadableDocumentError(
                    f"the sheet {sheet.title!r} is mostly empty cells, more than {MAX_CELLS:,}; "
                    f"delete what stands far away from the table, or save the table as .csv"
                )
            yield [_shown(value) for value in row]

    for sheet in book.worksheets:
        yield from _pieces(rows_of(sheet), sheet.title if len(book.worksheets) > 1 else "")


def _bounded(pieces: Iterable[Piece]) -> Iterator[Piece]:
    letters = 0
    for piece in pieces:
        letters += len(piece.text) + len(piece.question or "")
        if letters > MAX_LETTERS:
            raise UnreadableDocumentError(
                f"the rows with the names of their columns come to more than {MAX_LETTERS:,} "
                f"letters; split the table up"
            )
        yield piece


def _dialect(text: str) -> type[csv.Dialect] | str:
    try:
        return csv.Sniffer().sniff(text[:8192], delimiters=",;\t|")
    except csv.Error:
        return csv.excel  # a single column, or too few rows to tell


def _pieces(rows: Iterable[Row], sheet: str) -> Iterator[Piece]:
    filled = ([cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row))
    header = next(filled, None)
    if header is None:
        return
    question, answer = _find(header, QUESTION_COLUMNS), _find(header, ANSWER_COLUMNS)
    if question is None or answer is None:
        yield from _passages(header, filled, sheet)
        return
    under = _find(header, HEADING_COLUMNS)
    for row in filled:
        heading = _cell(row, under) or sheet
        asked, answered = _cell(row, question), _cell(row, answer)
        if asked and answered:
            yield Piece(answered, heading[:MAX_HEADING], asked)
        else:  # half a pair is still something to know
            yield from split_blocks([Block(asked or answered, heading)])


def _passages(header: Row, rows: Iterable[Row], sheet: str) -> Iterator[Piece]:
    """Each row with the names of its columns, so that it can be understood alone."""
    header, empty = [name[:MAX_HEADING] for name in header], True
    for row in rows:
        empty = False
        named = zip(chain(header, repeat("")), row, strict=False)
        lines = [f"{name}: {cell}" if name else cell for name, cell in named if cell]
        yield from split_blocks([Block("\n".join(lines), sheet)])
    if empty:
        yield from split_blocks([Block(" | ".join(filter(None, header)), sheet)])


def _find(header: Row, names: set[str]) -> int | None:
    for column, name in enumerate(header):
        if name.strip(" :：?？").casefold().replace("_", " ") in names:
            return column
    return None


def _cell(row: Row, column: int | None) -> str:
    return row[column] if column is not None and column < len(row) else ""


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
