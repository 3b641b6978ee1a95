"""Every example is seen once an epoch, in an order that can be repeated."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from modelserver.training.batches import plan_epoch

COUNTS, SIZES, SEEDS = st.integers(1, 300), st.integers(1, 16), st.integers(0, 2**31)


@given(COUNTS, SIZES, SEEDS, st.integers(0, 9))
def test_an_epoch_holds_every_example_once(count, batch_size, seed, epoch) -> None:
    batches = plan_epoch(count, batch_size, seed=seed, epoch=epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(count))
    assert len(batches) == -(-count // batch_size)
    assert all(len(batch) == batch_size for batch in batches[:-1])


@given(COUNTS, SIZES, SEEDS)
def test_the_order_is_the_same_when_asked_again(count, batch_size, seed) -> None:
    first, again = (plan_epoch(count, batch_size, seed=seed, epoch=3) for _ in range(2))
    assert [b.tolist() for b in first] == [b.tolist() for b in again]


def test_epochs_differ_in_order() -> None:
    first, second = (plan_epoch(100, 4, seed=1, epoch=epoch) for epoch in (0, 1))
    assert [b.tolist() for b in first] != [b.tolist() for b in second]
