"""Packs: sequences laid end to end behind the beginning that they share.

    prefix | tail of a | tail of b | tail of c

A tail sees the prefix and itself, and its positions go on from the prefix, so each sequence is
computed exactly as if it stood alone: nothing is padded, and the system prompt, about half of a
short support example, is computed once a pack instead of once a sequence.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from modelserver.training.attention import Layout
from modelserver.training.corpus import Corpus

# More at once is no faster on a CPU, and the mask grows with the square.
PACK_PLACES = 2048 if torch.cuda.is_available() else 512

_Sequence = tuple[NDArray[np.int32], NDArray[np.uint8]]


@dataclass(frozen=True, kw_only=True)
class Pack:
    """T places that hold some sequences, and the N tokens among them that are trained on."""

    ids: torch.Tensor
    """(1, T)"""
    positions: torch.Tensor
    """(1, T)"""
    can_see: torch.Tensor
    """(1, 1, T, T), true where the place of the row may look at the place of the column."""
    layout: Layout
    """The same as places from and to."""
    readers: torch.Tensor
    """(N,) the place from whose state the trained token is written."""
    targets: torch.Tensor
    """(N,) the trained token."""
    rows: torch.Tensor
    """(N,) which of the sequences it belongs to."""
    row_count: int
    token_count: int
    """Of the sequences as they are, the shared prefix counting in each."""


def make_packs(
    corpus: Corpus, indexes: NDArray[np.int64], *, together: int = 1, places: int = PACK_PLACES
) -> Iterator[Pack]:
    """All sequences of a batch, in packs of at most `places`, so that memory is bounded.

    `together` neighbours are never parted; they, or one long sequence, may exceed the bound alone.
    """
    group: list[_Sequence] = []
    for start in range(0, len(indexes), together):
        added = [corpus.sequence(int(index)) for index in indexes[start : start + together]]
        if group and _places_of([*group, *added]) > places:
            yield _pack(group)
            group = []
        group += added
    if group:
        yield _pack(group)


def _places_of(sequences: Sequence[_Sequence]) -> int:
    shared = _shared_length(sequences)
    return shared + sum(len(tokens) - shared for tokens, _ in sequences)


def _shared_length(sequences: Sequence[_Sequence]) -> int:
    """Leading tokens that all have alike, short of the last before anything is trained."""
    first = sequences[0][0]
    shared = min(_untrained_length(marks) for _, marks in sequences) - 1
    for tokens, _ in sequences[1:]:
        differs = np.flatnonzero(tokens[:shared] != first[:shared])
        shared = int(differs[0]) if len(differs) else shared
    return max(0, shared)


def _untrained_length(marks: NDArray[np.uint8]) -> int:
    trained = np.flatnonzero(marks)
    return int(trained[0]) if len(trained) else len(marks)


def _pack(sequences: Sequence[_Sequence]) -> Pack:
    shared = _shared_length(sequences)
    prefix = sequences[0][0][:shared]
    tails = [tokens[shared:] for tokens, _ in sequences]
    ids = np.concatenate([prefix, *tails]).astype(np.int64)
    positions = np.concatenate(
        [np.arange(shared), *(np.arange(shared, shared + len(tail)) for tail in tails)]
    )
    lengths = [len(tail) for tail in tails]
    owner = np.concatenate([np.full(shared, -1), np.repeat(np.arange(len(tails)), lengths)])
    is_trained = np.concatenate(
        [np.zeros(shared, dtype=np.uint8), *(marks[shared:] for _, marks in sequences)]
    )
    trained = np.flatnonzero(is_trained)
    return Pack(
        ids=torch.from_numpy(ids)[None],
        positions=torch.from_numpy(positions)[None],
        can_see=_visibility(torch.from_numpy(owner)),
        layout=Layout(shared, _spans([shared, *lengths])),
        # The prefix ends before anything is trained, so the place before is of the same tail.
        readers=torch.from_numpy(trained - 1),
        targets=torch.from_numpy(ids[trained]),
        rows=torch.from_numpy(owner[trained]),
        row_count=len(sequences),
        token_count=sum(len(tokens) for tokens, _ in sequences),
    )


def _spans(lengths: Sequence[int]) -> tuple[tuple[int, int], ...]:
    ends = list(itertools.accumulate(lengths))
    return tuple((end - length, end) for end, length in zip(ends, lengths, strict=True) if length)


def _visibility(owner: torch.Tensor) -> torch.Tensor:
    is_earlier = torch.ones(len(owner), len(owner), dtype=torch.bool).tril()
    is_prefix_or_own = (owner[None] == -1) | (owner[None] == owner[:, None])
    return (is_earlier & is_prefix_or_own)[None, None]
