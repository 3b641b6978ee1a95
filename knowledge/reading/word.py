"""Word (.docx): its paragraphs, lists and tables, under their headings."""

import re
from collections.abc import Iterator
from pathlib import Path

import docx
from docx.document import Document as WordDocument
from docx.table import Table
from docx.text.paragraph import Paragraph

from knowledge.block import Block, BlockKind, HeadingPath, table_block
from knowledge.errors import UnreadableDocumentError

MAX_COLUMNS = 1000
"""Of a table. Word has 63 at most; a damaged width would be read cell by cell all the same."""
_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)


def blocks_of_word(path: Path) -> tuple[str | None, list[Block]]:
    """The document's title, where it names one, and its blocks.

    Raises:
        UnreadableDocumentError: a table is wider than any.
    """
    document = docx.Document(str(path))
    title = (document.core_properties.title or "").strip()
    return title or None, list(_blocks(document))


def _blocks(document: WordDocument) -> Iterator[Block]:
    path = HeadingPath()
    listed: list[str] = []
    for part in document.iter_inner_content():
        if isinstance(part, Paragraph) and _is_listed(part):
            listed.append(f"- {part.text.strip()}")
            continue
        if listed:
            yield Block("\n".join(listed), path.above(), BlockKind.lines)
            listed = []
        if isinstance(part, Table):
            yield from table_block(_rows(part), path)
        elif level := _level(part):
            yield from path.enter(level, part.text)
        elif part.text.strip():
            yield Block(part.text.strip(), path.above())
    if listed:
        yield Block("\n".join(listed), path.above(), BlockKind.lines)
    yield from path.end()


def _level(paragraph: Paragraph) -> int:
    """Of a heading; 0 for anything else."""
    name = paragraph.style.name or "" if paragraph.style else ""
    found = _HEADING.match(name)
    return int(found[1]) if found else int(name == "Title")


def _is_listed(paragraph: Paragraph) -> bool:
    properties = paragraph._p.pPr
    numbered = properties is not None and properties.numPr is not None
    name = paragraph.style.name or "" if paragraph.style else ""
    return (
        bool(paragraph.text.strip())
        and not _level(paragraph)
        and (numbered or name.startswith("List"))
    )


def _rows(table: Table) -> Iterator[list[str]]:
    for row in table.rows:
        if sum(cell.grid_span for cell in row._tr.tc_lst) > MAX_COLUMNS:
            raise UnreadableDocumentError(
                f"a row of a table is wider than {MAX_COLUMNS:,} columns; mend the table in Word"
            )
        cells = {id(cell._tc): cell.text for cell in row.cells}  # a merged cell comes several times
        yield list(cells.values())
