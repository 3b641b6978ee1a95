"""Answers that go round in circles: a small model may say one sentence until its limit is reached.

A text has begun to loop when it ends with the same words over and over. What is worth keeping is
everything up to the end of the sentence that was said for the first time. A loop may count: "up to
180 kg, up to 360 kg, up to 540 kg" says nothing new either. But a list of prices looks the same, so
where only the numbers differ it takes more to call it a loop.
"""

import re
from dataclasses import dataclass

_TAIL = 16
"""Characters that must have been said before, for a closer look."""
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True, kw_only=True)
class _Limits:
    """From where on something said over and over is a loop."""

    times: int
    least: int
    """Characters, all times together: a sentence three times, a word in plenty. Those of Chinese
    count twice: they say as much in half of them."""
    table: str
    least_in_table: int | None
    """Of what has one of the marks in `table`: a table's cells, a page's tags and a price list's
    lines may well be alike. None where they are never a loop."""


_WORD_FOR_WORD = _Limits(times=3, least=90, table="|<\t", least_in_table=240)
_BUT_FOR_NUMBERS = _Limits(times=5, least=150, table="|<\t\n", least_in_table=None)


def cut_loop(text: str) -> str | None:
    """What comes before the text repeats itself; None where it does not (yet).

    Rules of dashes, dots and the like are no words, and no loop.
    """
    if (kept := _cut(text, _WORD_FOR_WORD)) is not None:
        return kept
    alike, numbers = _NUMBER.subn("#", text)
    if not numbers or (kept := _cut(alike, _BUT_FOR_NUMBERS)) is None:
        return None
    size = len(kept.removesuffix("…"))
    return text[: _place(text, size)] + kept[size:]


def _place(text: str, end: int) -> int:
    """Where in the text is what is at `end` where each number is one character."""
    for number in _NUMBER.finditer(text):
        if number.start() >= end:
            break
        end += len(number[0]) - 1
    return end


def _cut(text: str, limits: _Limits) -> str | None:
    size = _loop_size(text, limits)
    if not size:
        return None
    start = len(text) - size * limits.times
    while start and text[start - 1] == text[start - 1 + size]:
        start -= 1
    said_once = start + size
    for end in range(said_once, said_once + size + 1):
        if _ends_sentence(text, end):
            return text[:end]
    return text[:said_once].rstrip() + "…"


def _ends_sentence(text: str, end: int) -> bool:
    """A dot within a price or an address ends nothing."""
    said = text[:end]
    if said[-1].isspace():
        return said.endswith("\n") or said.rstrip().endswith((".", "!", "?"))
    return said[-1] in "。！？…" or (said[-1] in ".!?" and text[end : end + 1].isspace())


def _loop_size(text: str, limits: _Limits) -> int:
    """Characters of the part that the text ends with over and over; 0 where there is none."""
    tail = text[-_TAIL:]
    before = text.rfind(tail, 0, len(text) - 1) if tail else -1
    while before >= 0:
        size = len(text) - len(tail) - before
        if size * limits.times > len(text):
            return 0
        if _is_looped(text, text[-size:], limits):
            return size
        before = text.rfind(tail, 0, before + len(tail) - 1)
    return 0


def _is_looped(text: str, part: str, limits: _Limits) -> bool:
    if not any(map(str.isalnum, part)):
        return False
    least: int | None = limits.least
    if any(mark in part for mark in limits.table):
        least = limits.least_in_table
    if least is None:
        return False
    weight = sum(2 if char >= "\u2e80" else 1 for char in part)
    return text.endswith(part * max(limits.times, -(-least // weight)))
