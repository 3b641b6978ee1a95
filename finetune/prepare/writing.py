"""Writing: the second pass. A file appears whole under its name, or not at all."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson

from finetune.prepare.batch import Batch, Line
from finetune.prepare.plan import MAX_VALID, TRAIN_SHARE, Plan
from finetune.prepare.reading import Reading
from finetune.prepare.tally import Tally

SEED = 42
OnBatch = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Written:
    """The files, and how many examples each has."""

    files: tuple[tuple[Path, int], ...]


def apply_plan(reading: Reading, plan: Plan) -> Iterator[Batch]:
    """What is left, as it will be written."""
    first = 0
    for batch in reading.spill:
        kept = plan.kept[first : first + len(batch)]
        first += len(batch)
        batch = batch if kept.all() else batch.keep(kept.tolist())
        if plan.too_long in ("truncate", "split"):
            batch = _shorten(batch, plan)
        for column, change in plan.changes:
            if column == "prompt":
                batch.prompts = change(batch.prompts)
            else:
                batch.completions = change(batch.completions)
        yield batch


def tally_only(reading: Reading, plan: Plan, tally: Tally, on_batch: OnBatch) -> None:
    """What a dry run does: all but the writing."""
    for batch in apply_plan(reading, plan):
        tally.add(batch)
        on_batch(len(batch))


def write(
    reading: Reading, plan: Plan, path: Path, tally: Tally, on_batch: OnBatch, valid: float | None
) -> Written:
    """Write the examples to `path`, or to `..._train` and `..._valid` beside it.

    Args:
        path: `FOLDER/NAME_prepared.jsonl`; where it exists, a number follows.
        valid: the share that is put aside; None: a fifth, 1,000 at most, if the plan splits.
    """
    if not plan.is_split and valid is None:
        target = free_path(path, ("",))[0]
        with _whole(target) as file:
            count = sum(map(len, _lines(reading, plan, tally, on_batch, file)))
        return Written(files=((target, count),))
    train, valid_path = free_path(path, ("_train", "_valid"))
    with tempfile.TemporaryFile(dir=path.parent) as spool:
        sizes = [size for lines in _lines(reading, plan, tally, on_batch, spool) for size in lines]
        spool.flush()
        ends = np.cumsum(np.array(sizes, dtype=np.int64))
        order, aside = _split(len(sizes), valid)
        with _whole(train) as first, _whole(valid_path) as second:
            _copy(spool, sizes, ends, order, first)
            _copy(spool, sizes, ends, aside, second)
    return Written(files=((train, len(order)), (valid_path, len(aside))))


def free_path(path: Path, endings: Sequence[str]) -> list[Path]:
    """Names beside `path` that no file has yet: what was prepared before stays."""
    number = 0
    while True:
        again = f" ({number})" if number else ""
        paths = [path.with_name(f"{path.stem}{each}{again}{path.suffix}") for each in endings]
        if not any(each.exists() for each in paths):
            return paths
        number += 1


def _lines(
    reading: Reading, plan: Plan, tally: Tally, on_batch: OnBatch, file: BinaryIO
) -> Iterator[list[int]]:
    """Writes, and gives the length of each line."""
    for batch in apply_plan(reading, plan):
        tally.add(batch)
        lines = encode(batch)
        file.write(b"".join(lines))
        _hurry(file)
        on_batch(len(batch))
        yield list(map(len, lines))


def encode(batch: Batch) -> list[bytes]:
    """A line for each example."""
    if batch.lines is not None:
        return [orjson.dumps(line) + b"\n" for line in batch.lines]
    quoted = zip(_quote(batch.prompts), _quote(batch.completions), strict=True)
    return [b'{"prompt":"%b","completion":"%b"}\n' % pair for pair in quoted]


def _quote(texts: list[str]) -> list[bytes]:
    """Texts as they stand in JSON, without their quotes.

    Written as one list and parted at its ends of lines, which in a text would be `\\n`.
    """
    return orjson.dumps(texts, option=orjson.OPT_INDENT_2)[5:-3].split(b'",\n  "') if texts else []


def _split(count: int, valid: float | None) -> tuple[list[int], list[int]]:
    """Which examples are trained on, shuffled, and which are put aside, in their order.

    Numpy's legacy generator gives the same numbers for ever, and the same as the old tool's.
    """
    if valid is None:
        train = max(count - MAX_VALID, int(count * TRAIN_SHARE))
    else:
        train = count - max(1, round(count * valid)) if count > 1 else count
    shuffled = np.random.RandomState(SEED).permutation(count)
    return shuffled[:train].tolist(), np.sort(shuffled[train:]).tolist()


def _copy(
    spool: BinaryIO, sizes: list[int], ends: Any, order: Sequence[int], target: BinaryIO
) -> None:
    number = spool.fileno()
    for place in order:
        target.write(os.pread(number, sizes[place], int(ends[place]) - sizes[place]))


def _hurry(file: BinaryIO) -> None:
    """Let the disk begin with what was written, so that at the end there is little to wait for."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its name when it is complete, and on the disk."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb", buffering=1 << 20) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _shorten(batch: Batch, plan: Plan) -> Batch:
    """Those that are too long alone; the others stay as they are."""
    prompts: list[str] = []
    completions: list[str] = []
    lines: list[Line] = []
    numbers: list[int] = []
    for place, (number, prompt, completion) in enumerate(
        zip(batch.numbers, batch.prompts, batch.completions, strict=True)
    ):
        line = batch.lines[place] if batch.lines is not None else None
        for asked, answered, written in _parts(plan, prompt, completion, line):
            numbers.append(number)
            prompts.append(asked)
            completions.append(answered)
            lines += [written] if written is not None else []
    kept = None if batch.lines is None else lines
    return Batch(numbers=numbers, prompts=prompts, completions=completions, lines=kept)


def _parts(
    plan: Plan, prompt: str, completion: str, line: Line | None
) -> Iterator[tuple[str, str, Line | None]]:
    shortener, limit = plan.shortener, plan.shortener.limit
    if len(prompt) + len(completion) <= limit // 8:
        yield prompt, completion, line
    elif line is None:
        if shortener.pair_tokens(prompt, completion) <= limit:
            yield prompt, completion, None
        elif plan.too_long == "split":
            yield from ((*part, None) for part in shortener.split_pair(prompt, completion))
        elif cut := shortener.truncate_pair(prompt, completion):
            yield (*cut, None)
    elif "messages" not in line or shortener.chat_tokens(line["messages"]) <= limit:
        yield prompt, completion, line
    elif plan.too_long == "split":
        for messages in shortener.split_chat(line["messages"]):
            yield prompt, completion, {**line, "messages": messages}
    elif kept := shortener.truncate_chat(line["messages"]):
        yield prompt, completion, {**line, "messages": kept}
