"""Complaints: rows that could not be used, each with the place where its owner finds it."""

from collections import Counter
from dataclasses import dataclass, field

KEPT = 1000
"""Complaints that are kept word for word; of the rest only the number is known."""


@dataclass(frozen=True, kw_only=True)
class Complaint:
    """One row, or one file, that was left out."""

    file: str
    where: str
    """`line 17`, `row 5 of sheet Answers`, `item 3, line 20`; empty for the whole file."""
    reason: str

    def __str__(self) -> str:
        place = ", ".join(filter(None, (self.file, self.where)))
        return f"{place}: {self.reason}"


@dataclass(kw_only=True)
class Complaints:
    """All complaints of one preparation, in bounded memory."""

    kept: list[Complaint] = field(default_factory=list)
    count: int = 0
    by_file: Counter[str] = field(default_factory=Counter)

    def add(self, file: str, where: str, reason: str) -> None:
        self.count += 1
        self.by_file[file] += 1
        if len(self.kept) < KEPT:
            self.kept.append(Complaint(file=file, where=where, reason=reason))
