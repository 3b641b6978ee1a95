"""Every example is seen once an epoch, in an order that can be repeated, with little padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelserver.training.batches import collate, plan_epoch
from modelserver.training.corpus import Corpus

LENGTHS = st.lists(st.integers(1, 500), min_size=1, max_size=300).map(np.array)


@given(LENGTHS, st.integers(1, 16), st.integers(0, 2**31), st.integers(0, 9))
def test_an_epoch_holds_every_example_once(lengths, batch_size, seed, epoch) -> None:
    batches = plan_epoch(lengths, batch_size, seed=seed, epoch=epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert all(len(batch) <= batch_size for batch in batches)


@given(LENGTHS, st.integers(1, 16), st.integers(0, 2**31))
def test_the_order_is_the_same_when_asked_again(lengths, batch_size, seed) -> None:
    first, again = (plan_epoch(lengths, batch_size, seed=seed, epoch=3) for _ in range(2))
    assert [b.tolist() for b in first] == [b.tolist() for b in again]


def test_epochs_differ_in_order() -> None:
    lengths = np.arange(1, 101)
    first, second = (plan_epoch(lengths, 4, seed=1, epoch=epoch) for epoch in (0, 1))
    assert [b.tolist() for b in first] != [b.tolist() for b in second]


def test_padding_stays_small() -> None:
    lengths = np.random.default_rng(0).integers(10, 400, 1000)
    batches = plan_epoch(lengths, 8, seed=0, epoch=0)
    padded = sum(int(lengths[b].max()) * len(b) for b in batches)
    assert padded < 1.1 * lengths.sum()


def test_a_batch_is_padded_to_its_own_longest_and_knows_what_is_real() -> None:
    corpus = Corpus(
        tokens=np.array([5, 6, 7, 8], dtype=np.int32),
        marks=np.array([0, 0, 1, 1], dtype=np.uint8),
        places=np.array([0, 1, 4]),
        skipped=0,
    )
    batch = collate(corpus, np.array([0, 1]), pad=9)
    assert batch.ids.tolist() == [[5, 9, 9], [6, 7, 8]]
    assert batch.is_real.tolist() == [[True, False, False], [True, True, True]]
    assert batch.is_trained.tolist() == [[False, False, False], [False, True, True]]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_last_batch_may_be_smaller(batch_size: int) -> None:
    assert len(plan_epoch(np.ones(7), batch_size, seed=0, epoch=0)) == -(-7 // batch_size)
