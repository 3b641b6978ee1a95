"""Answers that go round in circles: a small model may say one sentence until its limit is reached.

A text has begun to loop when it ends with the same words over and over. What is worth keeping is
everything up to the end of the sentence that was said for the first time.
"""

_TAIL = 16
"""Characters that must have been said before, for a closer look."""
_LOOPED_BYTES = 60
"""Of what is said over and over, all times together: a sentence twice, a word a dozen times. In
UTF-8, so that Chinese, which says as much in a third of the characters, counts alike."""
_SENTENCE_ENDS = ".!?。！？…\n"


def cut_loop(text: str) -> str | None:
    """What comes before the text repeats itself; None where it does not (yet).

    Rules of dashes, dots and the like are no words, and no loop.
    """
    size = _loop_size(text)
    if not size:
        return None
    start = len(text) - size
    while start and text[start - 1] == text[start - 1 + size]:
        start -= 1
    said_once = start + size
    for end in range(said_once, min(said_once + size, len(text)) + 1):
        if text[end - 1] in _SENTENCE_ENDS:
            return text[:end]
    return text[:said_once].rstrip() + "…"


def _loop_size(text: str) -> int:
    """Characters of the part that the text ends with over and over; 0 where there is none."""
    tail = text[-_TAIL:]
    before = text.rfind(tail, 0, len(text) - 1)
    if before < 0:
        return 0
    size = len(text) - len(tail) - before
    part = text[-size:]
    if not any(map(str.isalnum, part)):
        return 0
    times = max(2, -(-_LOOPED_BYTES // len(part.encode())))
    return size if text.endswith(part * times) else 0
