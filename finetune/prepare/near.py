"""Near-duplicates: examples that share nearly all of their text.

MinHash over pieces of four characters (Broder, "On the resemblance and containment of documents",
1997), twelve hashes of 16 bits an example, in bands of three. Written with numpy for thousands of
texts at once: a library that hashes text by text takes minutes for a million of them. To be fast,
only the quarter of the pieces whose own hash ends in two zero bits takes part; that is the same
quarter in every text, so that the measure stays what it is, with a little more noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

HASHES, BAND = 12, 3
AGREEING = 10
"""So many of the twelve hashes have to be the same: a resemblance of about 0.85."""
_PIECE = 4
_GAP = "\0" * (_PIECE - 1)  # no piece reaches into the next text

_random = np.random.default_rng(20240607)
_PIECE_FACTORS = _random.integers(1, 2**32, _PIECE, dtype=np.uint32) | np.uint32(1)
_FACTORS = _random.integers(1, 2**32, HASHES, dtype=np.uint32) | np.uint32(1)
_SHIFTS = _random.integers(1, 2**32, HASHES, dtype=np.uint32)

Signatures = npt.NDArray[np.uint16]


@dataclass(frozen=True, kw_only=True)
class NearDuplicates:
    """Which examples are nearly the same as an earlier one."""

    is_near: npt.NDArray[np.bool_]
    pairs: list[tuple[int, int]]
    """Some of them, with the earlier one first."""

    @property
    def count(self) -> int:
        return int(self.is_near.sum())


def sign(texts: Sequence[str]) -> Signatures:
    """A signature a text, one a row; all zeros where a text is too short to tell."""
    joined = _GAP.join([*texts, ""]).lower()
    if joined.count("\0") != len(_GAP) * len(texts):
        joined = _GAP.join([*(text.replace("\0", " ") for text in texts), ""]).lower()
    codes: npt.NDArray[np.uint8] | npt.NDArray[np.uint32]
    if joined.isascii():  # a quarter of the memory to go through
        codes = np.frombuffer(joined.encode(), dtype=np.uint8)
    else:
        codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    signatures = np.zeros((len(texts), HASHES), dtype=np.uint16)
    begins = np.flatnonzero((codes & np.uint8(3)) == 0)
    is_gap = codes[begins] == 0
    ends = begins[is_gap][:: len(_GAP)]  # of the texts
    begins = begins[~is_gap]
    hashes = np.zeros(len(begins), dtype=np.uint32)
    for place, factor in enumerate(_PIECE_FACTORS):
        hashes += codes[begins + place].astype(np.uint32) * factor
    hashes ^= hashes >> np.uint32(15)
    hashes *= np.uint32(0x2C1B3C6D)
    is_kept = (hashes & np.uint32(1 << 13)) != 0
    begins, hashes = begins[is_kept], hashes[is_kept]
    firsts = np.searchsorted(begins, np.concatenate(([0], ends[: len(texts) - 1])))
    has_any = np.diff(np.append(firsts, len(begins))) > 0
    if not has_any.any():
        return signatures
    for place in range(HASHES):
        mixed = hashes * _FACTORS[place] + _SHIFTS[place]
        least = np.minimum.reduceat(mixed, firsts[has_any])
        signatures[has_any, place] = (least * np.uint32(0x9E3779B1)) >> np.uint32(16)
    signatures[has_any] |= np.uint16(1)  # never all zeros
    return signatures


def find_near(
    signatures: Signatures, wanted: npt.NDArray[np.bool_], *, shown: int = 20
) -> NearDuplicates:
    """Compare each text with the first of those that share a band with it: linear, not square.

    Args:
        wanted: which rows take part; exact duplicates should not.
        shown: how many pairs are named.
    """
    rows = np.flatnonzero(wanted & signatures.any(axis=1))
    is_near = np.zeros(len(signatures), dtype=np.bool_)
    pairs: dict[int, int] = {}
    for start in range(0, HASHES, BAND):
        leaders = _leaders(signatures[rows, start : start + BAND])
        for begin in range(0, len(rows), 1 << 18):  # in parts, to bound the memory
            own, led = rows[begin : begin + (1 << 18)], rows[leaders[begin : begin + (1 << 18)]]
            agreeing = (signatures[own] == signatures[led]).sum(axis=1)
            found = (own != led) & (agreeing >= AGREEING) & ~is_near[own]
            is_near[own[found]] = True
            for row, leader in zip(own[found][:shown], led[found][:shown], strict=True):
                pairs.setdefault(int(row), int(leader))
    named = sorted((leader, row) for row, leader in pairs.items())
    return NearDuplicates(is_near=is_near, pairs=named[:shown])


def _leaders(band: Signatures) -> npt.NDArray[np.int64]:
    """For each row, the place of the first row with the same band."""
    keys = band[:, 0].astype(np.uint64)
    for column in range(1, band.shape[1]):
        keys = (keys << np.uint64(16)) | band[:, column]
    order = np.argsort(keys, kind="stable")
    is_first = np.ones(len(keys), dtype=np.bool_)
    is_first[1:] = keys[order][1:] != keys[order][:-1]
    group = np.cumsum(is_first) - 1
    leaders = np.empty(len(keys), dtype=np.int64)
    leaders[order] = order[is_first][group]
    return leaders
