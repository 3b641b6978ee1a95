"""Affixes: what all texts of a column begin and end with, and what none of them contains."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat

SEPARATORS = (
    " ->", "\n\n###\n\n", "\n\n===\n\n", "\n\n---\n\n", "\n\n===>\n\n", "\n\n--->\n\n",
)  # fmt: skip
LAST_SEPARATOR = "\n\n### =>\n\n"
ENDINGS = ("\n", ".", " END", "***", "+++", "&&&", "$$$", "@@@", "%%%")
LAST_ENDING = " [END]"
"""The order is that of OpenAI's old tool, so that old data stays as it was prepared."""


@dataclass(kw_only=True)
class Affix:
    """Of the texts of one column, added batch by batch."""

    marks: tuple[str, ...]
    """Strings of which it is to be known whether a text contains them."""
    count: int = 0
    prefix: str = ""
    suffix: str = ""
    contained: set[str] = field(default_factory=set)
    begins_with_space: bool = True
    shortest: int = 0
    """Characters of the shortest text."""

    def add(self, texts: Sequence[str]) -> None:
        if not texts:
            return
        if not self.count:
            self.prefix = self.suffix = texts[0]
            self.shortest = len(texts[0])
        self.count += len(texts)
        self.shortest = min(self.shortest, min(map(len, texts)))
        if self.prefix and not all(map(str.startswith, texts, repeat(self.prefix))):
            self.prefix = _common_prefix([self.prefix, *texts])
        if self.suffix and not all(map(str.endswith, texts, repeat(self.suffix))):
            self.suffix = _common_suffix([self.suffix, *texts])
        if self.begins_with_space:
            self.begins_with_space = all(map(str.startswith, texts, repeat(" ")))
        joined = "\0".join(texts)
        self.contained.update(
            mark for mark in self.marks if mark not in self.contained and _is_in(mark, joined)
        )

    def joined_with(self, other: "Affix") -> "Affix":
        """Of the texts of both."""
        if not self.count or not other.count:
            return other if other.count else self
        return Affix(
            marks=self.marks,
            count=self.count + other.count,
            prefix=_common_prefix([self.prefix, other.prefix]),
            suffix=_common_suffix([self.suffix, other.suffix]),
            contained=self.contained | other.contained,
            begins_with_space=self.begins_with_space and other.begins_with_space,
            shortest=min(self.shortest, other.shortest),
        )


def _is_in(mark: str, text: str) -> bool:
    """Most texts lack a letter of the mark already, and one letter is found far sooner."""
    return all(letter in text for letter in dict.fromkeys(mark)) and mark in text


def _common_suffix(texts: Sequence[str]) -> str:
    shortest = min(map(len, texts))
    ends = [text[len(text) - shortest :][::-1] for text in texts]
    return _common_prefix(ends)[::-1]


def _common_prefix(texts: Sequence[str]) -> str:
    """What the first and the last in the order of the alphabet begin with, all begin with."""
    low, high = min(texts), max(texts)
    for place, letter in enumerate(low):
        if letter != high[place]:
            return low[:place]
    return low
