"""A preparation in a few words, for the tests of this folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.prepare.complaints import Complaint
from finetune.prepare.options import Limits, ReadOptions
from finetune.prepare.plan import Ask, Plan, accept_all, decide
from finetune.prepare.reading import Reading, read_files
from finetune.prepare.tally import Tally
from finetune.prepare.tokens import Tokenizer
from finetune.prepare.writing import write

WORDS = Tokenizer(name="words", encode=lambda text: list(range(len(text.split()))))
LIMITS = Limits(model="gpt-4o-mini", tokenizer="o200k_base", tokens=65_536)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What came of a preparation."""

    rows: list[dict[str, Any]]
    valid: list[dict[str, Any]]
    titles: list[str]
    complaints: list[Complaint]
    plan: Plan
    reading: Reading

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return [(row["prompt"], row["completion"]) for row in self.rows]

    @property
    def said(self) -> str:
        return "\n".join(map(str, self.complaints))


def prepare(
    *paths: Path,
    options: ReadOptions | None = None,
    limits: Limits = LIMITS,
    ask: Ask | None = None,
    answers: Mapping[str, str] | None = None,
    valid: float | None = None,
) -> Prepared:
    """Prepare files beside the first, and read back what was written."""
    reading = read_files(paths, options or ReadOptions(), folder=paths[0].parent)
    given = answers or {}

    def answer(remedy: Any) -> str:
        return given.get(remedy.name) or accept_all(remedy)

    try:
        plan = decide(reading, limits, ask or answer)
        tally = Tally(tokenizer=WORDS, expected=len(reading.survey))
        target = paths[0].parent / f"{paths[0].stem}_prepared.jsonl"
        written = write(reading, plan, target, tally, lambda _count: None, valid)
    finally:
        reading.close()
    files = [_read(path) for path, _ in written.files]
    for rows, (_, count) in zip(files, written.files, strict=True):
        assert len(rows) == count
    return Prepared(
        rows=files[0],
        valid=files[1] if len(files) > 1 else [],
        titles=[remedy.title for remedy, answered in plan.decided if answered != "keep"],
        complaints=reading.complaints.kept,
        plan=plan,
        reading=reading,
    )


def write_lines(path: Path, rows: Sequence[Any]) -> Path:
    """JSON Lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def pairs(count: int, **extra: Any) -> list[dict[str, Any]]:
    """Sound pairs that have nothing in common."""
    places = ("van", "shop", "box", "hut")
    return [
        {
            "prompt": f"{'ABCDEFG'[number % 7]}: where is parcel {number}{'?' * (number % 3)}",
            "completion": f"{number} is in the {places[number % 4]} of {number * 7}"[number % 2 :],
            **extra,
        }
        for number in range(10, count + 10)
    ]


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
