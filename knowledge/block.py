"""A block: a paragraph, a list or a table of a document, under its headings."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class BlockKind(StrEnum):
    """Where a block may be split when it is too long."""

    prose = "prose"  # between sentences
    lines = "lines"  # between lines: a list, or code
    table = "table"  # between rows, and its first line is repeated


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a document that its author meant to stand together."""

    text: str
    heading: str = ""
    """The headings above it, outermost first: `Delivery > Abroad`."""
    kind: BlockKind = BlockKind.prose


class HeadingPath:
    """The headings that stand above the place where a reader is."""

    def __init__(self) -> None:
        self._above: list[tuple[int, str]] = []
        self._covered = 0  # so many of them stand above some block already

    def enter(self, level: int, text: str) -> Iterator[Block]:
        """Go below a heading, which ends those of its own level and of deeper ones.

        One of these with nothing below it becomes a block, or its text would be lost.
        """
        kept = [item for item in self._above if item[0] < level]
        if len(kept) < len(self._above) and self._covered < len(self._above):
            _, lost = self._above.pop()
            yield Block(lost, self.above())
        self._covered = min(self._covered, len(kept))
        self._above = kept
        if text := " ".join(text.split()):
            self._above.append((level, text))

    def end(self) -> Iterator[Block]:
        """Leave every heading."""
        return self.enter(0, "")

    def above(self) -> str:
        """The headings above a block that is made now."""
        self._covered = len(self._above)
        return " > ".join(text for _, text in self._above)


def table_block(rows: Iterable[Iterable[str]], path: HeadingPath) -> Iterator[Block]:
    """Rows of cells as lines, with the empty rows left out; nothing of an empty table."""
    lines = [" | ".join(" ".join(cell.split()) for cell in row) for row in rows]
    if filled := [line for line in lines if line.strip(" |")]:
        yield Block("\n".join(filled), path.above(), BlockKind.table)
