"""Near-duplicates: examples that share nearly all of their text.

MinHash over pieces of four characters (Broder, "On the resemblance and containment of documents",
1997) with one hash instead of twelve (Li, Owen and Zhang, "One permutation hashing", 2012): the
hash of a piece chooses one of twelve places, and the least in each is the signature, in bands of
three. A place that no piece fell into takes what stands in the next one that has any (Shrivastava
and Li, 2014). Written with numpy for thousands of texts at once: a library that hashes text by
text takes minutes for a million of them. To be fast, only half of the pieces takes
part; that is the same half in every text, so that the measure stays what it is, with a little
more noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from finetune.prepare.codes import Codes, codes_of

HASHES, BAND = 12, 3
AGREEING = 10
"""So many of the twelve hashes have to be the same: a resemblance of about 0.85."""
_PIECE = 4
_GAP = "\0" * (_PIECE - 1)  # no piece reaches into the next text
_PART = 1 << 18  # rows to compare at once, to bound the memory
_HALF = np.uint32(1 << 31)
_NOTHING, _STEP = np.uint32(0xFFFFFFFF), np.uint32(0x632BE5AB)

_Places = npt.NDArray[np.uint32]
_Hashes = npt.NDArray[np.uint32]
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
    codes = codes_of(joined)
    pieces = _pieces(codes)
    ends = np.flatnonzero(codes == 0)[:: len(_GAP)]
    is_chosen = pieces * np.uint32(0x9E3779B1) < _HALF
    is_chosen &= codes[: len(pieces)] != 0
    chosen = np.flatnonzero(is_chosen)
    counts = np.diff(np.searchsorted(chosen, ends), prepend=0)
    least = _least(_hash(pieces[chosen]), counts)
    _fill(least)
    signatures = ((least * np.uint32(0x9E3779B1)) >> np.uint32(16)).astype(np.uint16)
    has_any = least[:, 0] != _NOTHING
    signatures[has_any] |= np.uint16(1)  # never all zeros
    signatures[~has_any] = 0
    return signatures


def _pieces(codes: Codes) -> _Hashes:
    """A number for the piece that begins at each code, the last ones apart.

    Four ASCII letters are read as one number where they lie; of others one is made like it.
    """
    count = max(0, len(codes) - len(_GAP))
    if codes.dtype == np.uint8:
        whole = np.ndarray(shape=(count,), dtype="<u4", buffer=codes, strides=(1,))
        return whole.astype(np.uint32)
    mixed = np.where(codes < 128, codes, codes * np.uint32(0x9E3779B1)).astype(np.uint32)
    pieces = mixed[:count].copy()
    for place in range(1, _PIECE):
        turned = mixed[place : place + count]
        bits = np.uint32(8 * place)
        pieces ^= (turned << bits) | (turned >> (np.uint32(32) - bits))
    return pieces


def _hash(pieces: _Hashes) -> _Hashes:
    """In place, by the last steps of MurmurHash3."""
    pieces ^= pieces >> np.uint32(16)
    pieces *= np.uint32(0x85EBCA6B)
    pieces ^= pieces >> np.uint32(13)
    pieces *= np.uint32(0xC2B2AE35)
    pieces ^= pieces >> np.uint32(16)
    return pieces


def _least(hashes: _Hashes, counts: npt.NDArray[np.int64]) -> _Hashes:
    """The least hash in each place of each text.

    Args:
        counts: so many of the hashes are the first text's, so many the next one's.
    """
    least = np.full(len(counts) * HASHES, _NOTHING, dtype=np.uint32)
    places = ((hashes >> np.uint32(16)) * np.uint32(HASHES)) >> np.uint32(16)
    firsts = np.repeat(np.arange(0, len(least), HASHES), counts)
    np.minimum.at(least, firsts + places, hashes)
    return least.reshape(-1, HASHES)


def _fill(least: _Hashes) -> None:
    """A place that is empty takes the next one's, changed with every step that it comes."""
    for _ in range(HASHES - 1):
        empty = least == _NOTHING
        if not empty.any():
            return
        following = np.roll(least, -1, axis=1)
        empty &= following != _NOTHING
        least[empty] = following[empty] + _STEP


def find_near(
    signatures: Signatures, wanted: npt.NDArray[np.bool_], *, shown: int = 20
) -> NearDuplicates:
    """Compare each text with the first of those that share a band with it: linear, not square.

    Args:
        wanted: which rows take part; exact duplicates should not.
        shown: how many pairs are named.
    """
    rows = np.flatnonzero(wanted & (signatures[:, 0] != 0))
    bands = [_mix(signatures[rows, at : at + BAND]) for at in range(0, HASHES, BAND)]
    is_near = np.zeros(len(signatures), dtype=np.bool_)
    pairs: dict[int, int] = {}
    for band in bands:
        following, leading = _find_followers(band)
        for begin in range(0, len(following), _PART):
            part = slice(begin, begin + _PART)
            own, led = _agreeing(signatures, rows, bands, following[part], leading[part])
            news = np.flatnonzero(~is_near[own])
            is_near[own] = True
            for place in news[np.argsort(own[news])][:shown]:
                pairs.setdefault(int(own[place]), int(led[place]))
    named = sorted((leader, row) for row, leader in pairs.items())
    return NearDuplicates(is_near=is_near, pairs=named[:shown])


def _mix(band: Signatures) -> npt.NDArray[np.uint32]:
    """One number for each row."""
    mixed = band[:, 0].astype(np.uint32)
    for column in range(1, BAND):
        mixed = mixed * np.uint32(0x9E3779B1) + band[:, column]
    return mixed


def _find_followers(band: npt.NDArray[np.uint32]) -> tuple[_Places, _Places]:
    """The places whose band an earlier one has, and the first of these for each.

    The place is sorted along in the last bits: that is many times as fast as `argsort`.
    """
    packed = (band.astype(np.uint64) << np.uint64(32)) | np.arange(len(band), dtype=np.uint64)
    packed.sort()
    keys, places = packed >> np.uint64(32), packed.astype(np.uint32)
    again = np.flatnonzero(keys[1:] == keys[:-1]) + 1
    return places[again], places[np.searchsorted(keys, keys[again])]


def _agreeing(
    signatures: Signatures,
    rows: npt.NDArray[np.int64],
    bands: Sequence[npt.NDArray[np.uint32]],
    following: _Places,
    leading: _Places,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The rows that are nearly the same as the one which leads, and that one.

    Ten of twelve agree only where two bands agree as a whole: by that most are told.
    """
    same = sum((band[following] == band[leading]).view(np.uint8) for band in bands)
    alike = np.flatnonzero(same >= 2)
    own, led = rows[following[alike]], rows[leading[alike]]
    found = (signatures[own] == signatures[led]).sum(axis=1) >= AGREEING
    return own[found], led[found]
