"""Chat lines of a support desk, in OpenAI's form, as pairs whose side of the hold-out is known."""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.pairs import Pair
from bench.rig.needs import NotHereError
from finetune.split import side_of
from store import Split, conversation_id

CHANNEL = "bench"
TRAIN_FILE, HOLDOUT_FILE = "sft_train.jsonl", "sft_valid.jsonl"


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What the desk was asked and has answered, in the order of the files."""

    system_prompt: str
    train: list[Pair]
    holdout: list[Pair]


def read_desk(folder: Path, *, answer_chars: int, holdout_share: float) -> Desk:
    """The lines whose answers have at most so many characters.

    Raises:
        NotHereError: a file is missing.
    """
    files = {Split.train: folder / TRAIN_FILE, Split.holdout: folder / HOLDOUT_FILE}
    if missing := [str(path) for path in files.values() if not path.is_file()]:
        raise NotHereError(f"NOD_BENCH_SUPPORT has no {' and no '.join(missing)}")
    sides = {
        side: list(_read_pairs(path, side, answer_chars, holdout_share))
        for side, path in files.items()
    }
    return Desk(
        system_prompt=_read_line(files[Split.train].read_text(encoding="utf-8").split("\n")[0])[0],
        train=sides[Split.train],
        holdout=sides[Split.holdout],
    )


def _read_pairs(path: Path, side: Split, most_chars: int, share: float) -> Iterator[Pair]:
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        _, question, answer = _read_line(line)
        if len(answer) <= most_chars:
            name = f"{path.stem}-{number}"
            yield Pair(id=_address(name, side, share), question=question, answer=answer)


def _read_line(line: str) -> Sequence[str]:
    """System prompt, question and answer."""
    said = {message["role"]: message["content"] for message in json.loads(line)["messages"]}
    return said["system"], said["user"], said["assistant"]


def _address(name: str, side: Split, share: float) -> str:
    """Nod splits by a hash of the address, and the files are split already: so each line gets the
    first address that falls on the side of its file."""
    for attempt in itertools.count():
        address = f"{name}-{attempt}"
        if side_of(conversation_id(CHANNEL, address), share) is side:
            return address
    raise AssertionError("itertools.count ends never")
