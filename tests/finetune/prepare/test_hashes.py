"""Hashes that come again, found in whichever way is the faster."""

import numpy as np
import pytest

from finetune.prepare.hashes import count_distinct, find_repeated, is_among


@pytest.mark.parametrize("distinct", [3, 400, 1 << 40], ids=["many", "some", "none"])
def test_what_comes_again_is_found_however_often_that_is(distinct: int) -> None:
    rng = np.random.default_rng(1)
    hashes = rng.integers(-distinct, distinct, 5000)
    among = rng.random(5000) < 0.7
    seen: set[int] = set()
    repeated = []
    for value, takes_part in zip(hashes.tolist(), among.tolist(), strict=True):
        repeated.append(takes_part and value in seen)
        seen |= {value} if takes_part else set()
    assert find_repeated(hashes, among).tolist() == repeated
    assert count_distinct(hashes[among]) == len(seen)


def test_hashes_that_end_alike_are_not_taken_for_the_same() -> None:
    hashes = np.array([5, 5 + (1 << 20), 5 + (1 << 40), -7], dtype=np.int64)
    assert is_among(hashes, np.array([-7, 5 + (1 << 40)])).tolist() == [False, False, True, True]
    assert not is_among(hashes, np.array([], dtype=np.int64)).any()
    assert not find_repeated(hashes, np.ones(4, dtype=np.bool_)).any()
