"""Dataset: examples frozen under a version and a hash, in OpenAI's chat format.

The rows are the truth; the files are written from them whenever they are needed. The same examples
give the same lines, the same hash, and so the dataset that exists already.
"""

import asyncio
import hashlib
import json
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.masks import read_default
from bot.prompt import DEFAULT_BUDGET, Budget, build_prompt
from bot.tokens import count_tokens
from finetune.examples import Approved, read_approved, with_texts
from finetune.redact import find_details, redact
from finetune.split import split
from knowledge.retrieved import Retrieved
from store import Chunk, ChunkKind, Database, Dataset, Example, Mask, Split

MIN_EXAMPLES = 10
"""OpenAI's limit for a training file, and modelserver's."""
MIN_HOLDOUT = 1

Look = Callable[[Approved], Awaitable[Sequence[Retrieved]]]
"""The context that the question of an example gets when its own conversation is left out."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How examples are made of approved replies; kept with the dataset."""

    holdout_share: float = 0.2
    context: Literal["none", "first", "all"] = "none"
    """Which examples carry retrieved facts as in retrieval: none, the customers' own questions,
    or the other phrasings too. The tuned model answers both with facts and without."""
    budget: Budget = DEFAULT_BUDGET
    max_example_tokens: int = 1800
    """Longer ones are left out: small models read 2,048."""


class TooFewExamplesError(ValueError):
    """There is not enough to train on yet; says how much there is and is needed."""


@dataclass(frozen=True, kw_only=True)
class _Line:
    example: Approved
    text: str

    @property
    def tokens(self) -> int:
        return count_tokens(self.text)


@dataclass(frozen=True, kw_only=True)
class Lines:
    """What will be frozen: the lines of each side and the report on the way there."""

    sides: dict[Split, list[_Line]]
    report: dict[str, Any]

    @property
    def sha256(self) -> str:
        every = (f"{side}\0{line.text}\n" for side in Split for line in self.sides[side])
        return hashlib.sha256("".join(every).encode()).hexdigest()


async def make_lines(database: Database, look: Look, recipe: Recipe) -> Lines:
    """Collect, redact, split and write out what reviewers approved; stores nothing.

    Raises:
        TooFewExamplesError: fewer than 10 examples to train on, or none to hold out.
    """
    async with database.read() as session:
        approved = await read_approved(session)
        mask = await read_default(session)
        passages = await session.scalars(select(Chunk.text).where(Chunk.kind == ChunkKind.passage))
        documents = list(passages)
    clean, redacted = await asyncio.to_thread(_redact_all, approved, documents)
    sides, dropped = split(clean, recipe.holdout_share)
    held_out = {example.reply_id for example in sides[Split.holdout]}
    lines: dict[Split, list[_Line]] = {side: [] for side in Split}
    for side in Split:
        for example in sides[side]:
            facts = await _facts(example, look, recipe, held_out)
            line = _write_line(example, mask, facts, recipe.budget)
            if line.tokens > recipe.max_example_tokens:
                dropped["too long"] += 1
            else:
                lines[side].append(line)
    _refuse_too_few(lines, dropped)
    report = {
        "approved": len(approved),
        "left_out": dict(dropped),
        "redacted": dict(redacted),
        "tokens": {side: sum(line.tokens for line in lines[side]) for side in Split},
        "mask": mask.name,
        "conversations": {
            side: len({line.example.conversation_id for line in lines[side]}) for side in Split
        },
    }
    return Lines(sides=lines, report=report)


async def freeze(session: AsyncSession, lines: Lines, recipe: Recipe) -> Dataset:
    """The dataset of these lines: the one that exists, or a new version."""
    existing = await session.scalar(select(Dataset).where(Dataset.sha256 == lines.sha256))
    if existing is not None:
        return existing
    newest = await session.scalar(select(func.max(Dataset.version)))
    dataset = Dataset(
        version=(newest or 0) + 1,
        sha256=lines.sha256,
        recipe=asdict(recipe),
        train_count=len(lines.sides[Split.train]),
        holdout_count=len(lines.sides[Split.holdout]),
        report=lines.report,
    )
    session.add(dataset)
    await session.flush()
    rows = [
        {
            "dataset_id": dataset.id,
            "split": side,
            "seq": seq,
            "line": line.text,
            "question": line.example.question,
            "answer": line.example.answer,
            "reply_id": line.example.reply_id,
            "conversation_id": line.example.conversation_id,
        }
        for side in Split
        for seq, line in enumerate(lines.sides[side])
    ]
    await session.execute(insert(Example), rows)
    return dataset


async def write_file(database: Database, dataset: Dataset, side: Split, home: Path) -> Path:
    """Write one side to HOME/datasets/vN/SIDE.jsonl: whole, or not at all."""
    async with database.read() as session:
        lines = await session.scalars(
            select(Example.line)
            .where(Example.dataset_id == dataset.id, Example.split == side)
            .order_by(Example.seq)
        )
        text = "".join(f"{line}\n" for line in lines)
    path = home / "datasets" / f"v{dataset.version}" / f"{side}.jsonl"
    await asyncio.to_thread(_write_whole, path, text)
    return path


def _write_whole(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _redact_all(
    approved: Sequence[Approved], documents: Sequence[str]
) -> tuple[list[Approved], Counter[str]]:
    public = find_details(documents)
    found: Counter[str] = Counter()

    def clean(text: str) -> str:
        redacted = redact(text, public=public)
        found.update(redacted.found)
        return redacted.text

    cleaned = [
        with_texts(
            example,
            clean(example.question),
            clean(example.answer),
            [{**turn, "content": clean(turn["content"])} for turn in example.history],
        )
        for example in approved
    ]
    return cleaned, found


async def _facts(
    example: Approved, look: Look, recipe: Recipe, held_out: set[int]
) -> Sequence[Retrieved]:
    """What retrieval gives, without the example's own conversation and without the hold-out."""
    if recipe.context == "none" or (recipe.context == "first" and example.phrasing > 0):
        return ()
    found = await look(example)
    return [chunk for chunk in found if chunk.reply_id not in held_out]


def _write_line(example: Approved, mask: Mask, facts: Sequence[Retrieved], budget: Budget) -> _Line:
    """One example as the trainer reads it; the answer alone is learnt (weight 0 elsewhere)."""
    prompt = build_prompt(mask, example.history, example.question, facts, budget=budget)
    messages: list[dict[str, Any]] = [
        {**message, "weight": 0} if message["role"] == "assistant" else dict(message)
        for message in prompt
    ]
    messages.append({"role": "assistant", "content": example.answer})
    return _Line(example=example, text=json.dumps({"messages": messages}, ensure_ascii=False))


def _refuse_too_few(lines: dict[Split, list[_Line]], dropped: Counter[str]) -> None:
    train, holdout = (len(lines[side]) for side in (Split.train, Split.holdout))
    why = ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "none"
    if train < MIN_EXAMPLES:
        raise TooFewExamplesError(
            f"there are {train} example(s) to train on, and at least {MIN_EXAMPLES} are needed "
            f"(left out: {why}): approve more replies"
        )
    if holdout < MIN_HOLDOUT:
        raise TooFewExamplesError(
            f"none of the approved conversations falls into the hold-out (left out: {why}), so a "
            f"candidate could not be judged: approve replies of more conversations"
        )
