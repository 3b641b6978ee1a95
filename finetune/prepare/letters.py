"""Letters: how many capitals and small letters each text has, counted for thousands at once."""

import sys
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

_CAPITAL, _SMALL = 1, 2


def count_letters(texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Capitals and small letters of each text, of whatever script has them."""
    joined = "\0".join([*texts, ""])  # an empty text still has its separator to be counted in
    if joined.isascii():
        kinds = _kinds()[:128][np.frombuffer(joined.encode(), dtype=np.uint8)]
    else:
        kinds = _kinds()[np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4")]
    ends = np.cumsum(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)) + 1)
    return _count(kinds == _CAPITAL, ends), _count(kinds == _SMALL, ends)


def _count(flags: npt.NDArray[np.bool_], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if not len(ends):
        return np.zeros(0, dtype=np.int64)
    starts = np.concatenate(([0], ends[:-1]))
    counts: npt.NDArray[np.int64] = np.add.reduceat(flags.view(np.uint8), starts, dtype=np.int64)
    return counts


@cache
def _kinds() -> npt.NDArray[np.uint8]:
    """By code point, for the planes that have cases; a quarter of a second, once."""
    kinds = np.zeros(sys.maxunicode + 1, dtype=np.uint8)
    for code in range(0x1F000):
        letter = chr(code)
        if letter.isalpha():
            kinds[code] = _CAPITAL if letter.isupper() else _SMALL if letter.islower() else 0
    return kinds
