"""Letters: how many capitals and small letters each text has, counted for thousands at once."""

import sys
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from finetune.prepare.codes import Codes, Flags, Places, codes_of, count_before, lengths_of

_CAPITAL, _SMALL = 1, 2


def count_letters(texts: Sequence[str]) -> tuple[Places, Places]:
    """Capitals and small letters of each text, of whatever script has them."""
    codes = codes_of("".join(texts))
    ends = np.concatenate(([0], np.cumsum(lengths_of(texts))))
    capitals, small = (np.diff(count_before(flags, ends)) for flags in _cases(codes))
    return capitals, small


def _cases(codes: Codes) -> tuple[Flags, Flags]:
    """Which codes are capitals, and which small letters."""
    if codes.dtype == np.uint8:
        return codes - np.uint8(ord("A")) < 26, codes - np.uint8(ord("a")) < 26
    kinds = _kinds()[codes]
    return kinds == _CAPITAL, kinds == _SMALL


@cache
def _kinds() -> npt.NDArray[np.uint8]:
    """By code point, for the planes that have cases; a quarter of a second, once."""
    kinds = np.zeros(sys.maxunicode + 1, dtype=np.uint8)
    for code in range(0x1F000):
        letter = chr(code)
        if letter.isalpha():
            kinds[code] = _CAPITAL if letter.isupper() else _SMALL if letter.islower() else 0
    return kinds
