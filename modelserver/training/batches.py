"""The batches of an epoch, in an order that seed and epoch decide: a resumed run repeats it."""

import numpy as np
from numpy.typing import NDArray


def plan_epoch(count: int, batch_size: int, *, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """The examples of each batch of one epoch; every example is in exactly one."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return [order[start : start + batch_size] for start in range(0, count, batch_size)]
