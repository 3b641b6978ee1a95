"""A file of any size is tokenised line by line, and read back one batch at a time."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np

from modelserver.training.corpus import write_corpus
from modelserver.training.render import Rendered


def render(example: dict[str, Any]) -> tuple[Rendered, ...]:
    ids = list(map(ord, example["text"]))
    return (Rendered(ids=ids, is_trained=[place > 0 for place in range(len(ids))]),)


def write(folder: Path, count: int) -> int:
    """The most memory, in bytes, that it took to write and read a corpus of `count` lines."""
    source = folder / f"{count}.jsonl"
    with source.open("w") as file:
        for number in range(count):
            file.write(json.dumps({"text": f"{number} " * 50}) + "\n")
    tracemalloc.start()
    corpus = write_corpus(
        source, folder / f"corpus-{count}", render, context_length=10_000, on_skip=print
    )
    assert len(corpus) == count
    tokens, marks = corpus.sequence(count - 1)
    assert "".join(map(chr, tokens)) == f"{count - 1} " * 50
    assert marks.sum() == len(tokens) - 1
    assert isinstance(corpus.tokens, np.memmap)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_grows_by_an_offset_a_line(tmp_path: Path) -> None:
    small, large = write(tmp_path, 200), write(tmp_path, 4000)
    bytes_a_line = (large - small) / 3800
    assert bytes_a_line < 32, "a line has 1,000 bytes of tokens, and an offset of 8"
