"""A node of a lineage: one row, named, with what stands behind it or follows from it."""

from __future__ import annotations

from dataclasses import dataclass

MOST_CHARS = 160


class LineageError(ValueError):
    """Nothing has this id."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """`kind` and `key` name a row so that it can be asked for again."""

    kind: str
    key: str
    title: str
    detail: str = ""
    children: tuple[Node, ...] = ()

    @staticmethod
    def of(kind: str, key: object, title: str, detail: str = "", *children: Node) -> Node:
        """With its text cut to a line."""
        line = " ".join(title.split())
        shown = line if len(line) <= MOST_CHARS else f"{line[: MOST_CHARS - 1]}…"
        return Node(kind=kind, key=str(key), title=shown, detail=detail, children=children)

    @property
    def name(self) -> str:
        """How it is asked for."""
        return f"{self.kind} {self.key}" if self.key not in ("", "None") else self.kind
