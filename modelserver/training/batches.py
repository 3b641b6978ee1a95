"""Batches of like length, in an order that seed and epoch decide.

Sequences are never padded to the longest of the file, only to the longest of their batch, and
batches are cut from a nearly sorted order: little padding is left. Because the order depends on
seed and epoch alone, a resumed run goes through the same batches.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from modelserver.training.corpus import Corpus

PART_PLACES = 4096  # sequences times longest; as much as is worth computing at once on a CPU
_POOL = 32  # batches that are sorted together: enough to hold little padding, and random enough


@dataclass(frozen=True)
class Batch:
    """Tensors of (sequences, longest): ids, which are real, and which are trained on."""

    ids: torch.Tensor
    is_real: torch.Tensor
    is_trained: torch.Tensor

    def parts(self, together: int = 1) -> Iterator["Batch"]:
        """Consecutive rows in parts of at most `PART_PLACES`, so that memory is bounded whatever
        the batch size. `together` rows are never parted; they may exceed the bound alone.
        """
        rows, longest = self.ids.shape
        step = max(1, PART_PLACES // (longest * together)) * together
        for start in range(0, rows, step):
            part = slice(start, start + step)
            yield Batch(self.ids[part], self.is_real[part], self.is_trained[part])


def plan_epoch(
    lengths: NDArray[np.int64], batch_size: int, *, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """The indexes of each batch of one epoch; every sequence is in exactly one."""
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    pool = batch_size * _POOL
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), pool):
        part = order[start : start + pool]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
    random.shuffle(batches)
    return batches


def collate(corpus: Corpus, indexes: NDArray[np.int64], *, pad: int) -> Batch:
    """One batch, padded on the right to its own longest sequence."""
    longest = int(corpus.lengths[indexes].max())
    ids = torch.full((len(indexes), longest), pad, dtype=torch.long)
    is_real = torch.zeros((len(indexes), longest), dtype=torch.bool)
    is_trained = torch.zeros((len(indexes), longest), dtype=torch.bool)
    for row, index in enumerate(indexes):
        tokens, marks = corpus.sequence(int(index))
        ids[row, : len(tokens)] = torch.from_numpy(tokens.astype(np.int64))
        is_real[row, : len(tokens)] = True
        is_trained[row, : len(tokens)] = torch.from_numpy(marks.astype(bool))
    return Batch(ids=ids, is_real=is_real, is_trained=is_trained)
