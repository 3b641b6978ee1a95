"""Answers that go round in circles: a small model may say one sentence until its limit is reached.

A text has begun to loop when it ends with the same words over and over. What is worth keeping is
everything up to the end of the sentence that was said for the first time.
"""

_TAIL = 16
"""Characters that must have been said before, for a closer look."""
_TIMES = 3
_LOOPED = 90
"""Characters said over and over, all times together: a sentence three times, a word in plenty.
Those of Chinese count twice: they say as much in half of them."""
_LOOPED_IN_TABLE = 240
"""A table's cells and a page's tags may well be alike."""


def cut_loop(text: str) -> str | None:
    """What comes before the text repeats itself; None where it does not (yet).

    Rules of dashes, dots and the like are no words, and no loop.
    """
    size = _loop_size(text)
    if not size:
        return None
    start = len(text) - size * _TIMES
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


def _loop_size(text: str) -> int:
    """Characters of the part that the text ends with over and over; 0 where there is none."""
    tail = text[-_TAIL:]
    before = text.rfind(tail, 0, len(text) - 1) if tail else -1
    while before >= 0:
        size = len(text) - len(tail) - before
        if size * _TIMES > len(text):
            return 0
        if _is_looped(text, text[-size:]):
            return size
        before = text.rfind(tail, 0, before + len(tail) - 1)
    return 0


def _is_looped(text: str, part: str) -> bool:
    if not any(map(str.isalnum, part)):
        return False
    weight = sum(2 if char >= "\u2e80" else 1 for char in part)
    least = _LOOPED_IN_TABLE if any(mark in part for mark in "|<\t") else _LOOPED
    return text.endswith(part * max(_TIMES, -(-least // weight)))
