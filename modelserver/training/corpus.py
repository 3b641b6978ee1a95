"""The corpus: every example of a file as tokens on disk, read back one batch at a time.

100,000 examples take the memory of their offsets only.
"""

import json
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelserver.training.order import TrainingError
from modelserver.training.render import Rendered


@dataclass(frozen=True)
class Corpus:
    """Sequences one after the other; `places[i]` to `places[i + 1]` is the i-th.

    A token is trained on where `marks` is 1. A preference file has two sequences a line: the
    chosen and the rejected.
    """

    tokens: NDArray[np.int32]
    marks: NDArray[np.uint8]
    places: NDArray[np.int64]
    skipped: int
    """Lines left out for being longer than the context."""

    def __len__(self) -> int:
        return len(self.places) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.places)

    def sequence(self, index: int) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        start, end = self.places[index : index + 2]
        return self.tokens[start:end], self.marks[start:end]

    def trained_tokens(self) -> int:
        return int(self.marks.sum())


def write_corpus(
    source: Path,
    target: Path,
    render: Callable[[dict[str, Any]], tuple[Rendered, ...]],
    *,
    context_length: int,
    on_skip: Callable[[str], None],
) -> Corpus:
    """Tokenise a file line by line.

    A line that does not fit in the context is left out and told: cutting it would teach the model
    to stop in mid-sentence.

    Raises:
        TrainingError: no line is left.
    """
    places = array("q", [0])
    skipped = 0
    with (
        target.with_suffix(".tokens").open("wb") as tokens,
        target.with_suffix(".marks").open("wb") as marks,
    ):
        for number, example in _read_examples(source):
            sequences = render(example)
            longest = max(len(sequence.ids) for sequence in sequences)
            if longest > context_length:
                skipped += 1
                on_skip(
                    f"line {number} has {longest} tokens and is left out: the model reads "
                    f"{context_length} at most; shorten or split it"
                )
                continue
            for sequence in sequences:
                tokens.write(np.array(sequence.ids, dtype=np.int32).tobytes())
                marks.write(np.array(sequence.is_trained, dtype=np.uint8).tobytes())
                places.append(places[-1] + len(sequence.ids))
    if len(places) == 1:
        raise TrainingError(
            f"no example is left to train on: all {skipped} are longer than the "
            f"{context_length} tokens that the model reads; shorten or split them",
            code="invalid_training_file",
            param="training_file",
        )
    return Corpus(
        tokens=np.memmap(target.with_suffix(".tokens"), dtype=np.int32, mode="r"),
        marks=np.memmap(target.with_suffix(".marks"), dtype=np.uint8, mode="r"),
        places=np.array(places, dtype=np.int64),
        skipped=skipped,
    )


def _read_examples(source: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with source.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, json.loads(line)
