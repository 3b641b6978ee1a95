"""Dataset: examples frozen under a version and a hash.

The rows are the truth; the files are written from them (finetune.files). The same examples give the
same lines, the same hash, and so the dataset that exists already.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.masks import read_default
from finetune.examples import TEACHING, Approved, read_approved
from finetune.expiring import find_expiring
from finetune.lines import Line, fold, write_line
from finetune.recipe import Recipe
from finetune.redact import Redactor, find_public
from finetune.second_look import Embed, look_twice
from finetune.split import split
from knowledge.retrieved import Retrieved
from store import (
    Chunk,
    ChunkKind,
    Conversation,
    Database,
    Dataset,
    Example,
    Mask,
    Method,
    Reply,
    Review,
    Split,
)

MIN_EXAMPLES = 10
"""OpenAI's limit for a training file, and modelserver's."""
MIN_HOLDOUT = 1
ASIDE = "set aside for a second look"

Look = Callable[[Approved], Awaitable[Sequence[Retrieved]]]
"""The context that the question of an example gets when its own conversation is left out."""


class TooFewExamplesError(ValueError):
    """There is not enough to train on yet; says how much there is and is needed."""


class ForgottenMeanwhileError(RuntimeError):
    """What was read is no longer to be learnt; the next try reads anew."""


@dataclass(frozen=True, kw_only=True)
class Lines:
    """What will be frozen: the lines of each side and the report on the way there."""

    sides: dict[Split, list[Line]]
    report: dict[str, Any]
    mask: Mask

    @property
    def sha256(self) -> str:
        every = (f"{side}\0{line.text}\n" for side in Split for line in self.sides[side])
        return hashlib.sha256("".join(every).encode()).hexdigest()


async def make_lines(
    database: Database, look: Look, recipe: Recipe, embed: Embed | None = None
) -> Lines:
    """Collect, redact, filter, split and write out what reviewers approved.

    Stores nothing but what it sets aside for a second look.

    Args:
        embed: gives the embeddings of answers, by which outliers are found.

    Raises:
        EmbeddingAwayError: worth another try.
        TooFewExamplesError: fewer than 10 lines to train on, or none to hold out.
    """
    async with database.read() as session:
        approved = await read_approved(session)
        mask = await read_default(session)
        passages = await session.scalars(select(Chunk.text).where(Chunk.kind == ChunkKind.passage))
        documents = list(passages)
    aside = await look_twice(database, approved, documents, embed)
    looked_at = [example for example in approved if example.reply_id not in aside]
    clean, redacted = await asyncio.to_thread(_redact_all, looked_at, documents, recipe)
    wanted, left_out = _filter(clean, recipe)
    left_out.update({ASIDE: len(approved) - len(looked_at)} if aside else {})
    sides, dropped = await asyncio.to_thread(
        split, wanted, recipe.holdout_share, recipe.near_duplicate
    )
    dropped.update(left_out)
    lines = {side: await _write_side(sides, side, mask, look, recipe, dropped) for side in Split}
    _refuse_too_few(lines, dropped, recipe)
    report = {
        "approved": len(approved),
        "left_out": dict(dropped),
        "redacted": dict(redacted),
        "expiring": _count_expiring(lines),
        "tokens": {side: sum(line.tokens for line in lines[side]) for side in Split},
        "replies": {side: sum(len(line.reply_ids) for line in lines[side]) for side in Split},
        "mask": mask.name,
        "conversations": {
            side: len({line.example.conversation_id for line in lines[side]}) for side in Split
        },
    }
    return Lines(sides=lines, report=report, mask=mask)


async def freeze(session: AsyncSession, lines: Lines, recipe: Recipe) -> Dataset:
    """The dataset of these lines: the one that exists, or a new version.

    Raises:
        ForgottenMeanwhileError: worth another try.
    """
    existing = await session.scalar(
        select(Dataset).where(Dataset.sha256 == lines.sha256, Dataset.struck_at.is_(None))
    )
    if existing is not None:
        return existing
    newest = await session.scalar(select(func.max(Dataset.version)))
    dataset = Dataset(
        version=(newest or 0) + 1,
        sha256=lines.sha256,
        method=recipe.method,
        recipe={**asdict(recipe), "mask": _describe_mask(lines.mask)},
        train_count=len(lines.sides[Split.train]),
        holdout_count=len(lines.sides[Split.holdout]),
        report=lines.report,
    )
    session.add(dataset)
    await session.flush()
    await _refuse_forgotten(session, lines)
    rows = [
        {
            "dataset_id": dataset.id,
            "split": side,
            "seq": seq,
            "line": line.text,
            "question": line.example.question,
            "answer": line.example.answer,
            "reply_id": line.example.reply_id,
            "reply_ids": line.reply_ids,
            "quoted_reply_ids": list(line.quoted),
            "conversation_id": line.example.conversation_id,
        }
        for side in Split
        for seq, line in enumerate(lines.sides[side])
    ]
    await session.execute(insert(Example), rows)
    return dataset


async def _refuse_forgotten(session: AsyncSession, lines: Lines) -> None:
    """Between the reading and the freezing somebody may be forgotten, or a reply rejected.

    Whoever is to be forgotten from now on is when these lines are there, and loses them too.
    """
    await session.execute(
        select(Conversation.id)
        .join(Reply, Reply.conversation_id == Conversation.id)
        .join(Review, Review.reply_id == Reply.id)
        .where(Review.verdict.in_(TEACHING))
        .order_by(Conversation.id)
        .with_for_update(read=True, key_share=True, of=Conversation)
    )
    wanted = {
        reply_id
        for side in Split
        for line in lines.sides[side]
        for reply_id in (*line.reply_ids, *line.quoted)
    }
    taught = select(Review.reply_id).where(Review.verdict.in_(TEACHING))
    if gone := wanted - set(await session.scalars(taught)):
        raise ForgottenMeanwhileError(
            f"{len(gone)} replies were forgotten or rejected meanwhile: try again"
        )


def _describe_mask(mask: Mask) -> dict[str, Any]:
    return {
        "name": mask.name,
        "system_prompt": mask.system_prompt,
        "few_shot": list(mask.few_shot),
    }


def _redact_all(
    approved: Sequence[Approved], documents: Sequence[str], recipe: Recipe
) -> tuple[list[Approved], Counter[str]]:
    """The examples without personal details, and how many of each kind there were.

    One redactor goes through a conversation, so that a detail is the same in all of it. What an
    earlier turn said stands in the history of each later one, and is counted once.
    """
    public = find_public(documents)
    redactors: dict[str, Redactor] = {}
    cleaned = []
    for example in approved:
        redactor = redactors.setdefault(
            example.conversation_id, Redactor(public=public, words=recipe.words)
        )
        history = [
            {**turn, "content": redactor.redact(turn["content"])} for turn in example.history
        ]
        cleaned.append(
            replace(
                example,
                history=history,
                question=redactor.redact(example.question),
                answer=redactor.redact(example.answer),
                draft=redactor.redact(example.draft),
            )
        )
    found = sum((redactor.distinct for redactor in redactors.values()), Counter[str]())
    return cleaned, found


def _filter(approved: Sequence[Approved], recipe: Recipe) -> tuple[list[Approved], Counter[str]]:
    """Those that the recipe wants, and how many others there are, by reason."""
    left_out: Counter[str] = Counter()
    wanted = []
    for example in approved:
        if recipe.method is Method.dpo and not example.draft:
            left_out["not edited, so no pair"] += 1
        elif recipe.expiring == "leave_out" and find_expiring(example.answer):
            left_out["a fact that expires"] += 1
        else:
            wanted.append(example)
    return wanted, left_out


async def _write_side(
    sides: dict[Split, list[Approved]],
    side: Split,
    mask: Mask,
    look: Look,
    recipe: Recipe,
    dropped: Counter[str],
) -> list[Line]:
    held_out = {example.reply_id for example in sides[Split.holdout]}
    lines = []
    for example in sides[side]:
        facts = await _facts(example, look, recipe, held_out)
        line = write_line(example, mask, facts, recipe.budget, recipe.method)
        if line.tokens > recipe.max_example_tokens:
            dropped["too long"] += 1
        else:
            lines.append(line)
    # What is held out stays a question a line: each is asked by itself.
    is_folded = side is Split.train and recipe.method is Method.sft and recipe.weights == "approved"
    return fold(lines) if is_folded else lines


async def _facts(
    example: Approved, look: Look, recipe: Recipe, held_out: set[int]
) -> Sequence[Retrieved]:
    """What retrieval gives, without the example's own conversation and without the hold-out."""
    if recipe.context == "none" or (recipe.context == "first" and example.phrasing > 0):
        return ()
    found = await look(example)
    return [chunk for chunk in found if chunk.reply_id not in held_out]


def _count_expiring(lines: dict[Split, list[Line]]) -> dict[str, int]:
    """How many trained answers state a fact that expires, by its kind."""
    kinds = Counter(
        kind
        for line in lines[Split.train]
        for each in (*line.earlier, line)
        for kind in find_expiring(each.example.answer)
    )
    return dict(sorted(kinds.items()))


def _refuse_too_few(lines: dict[Split, list[Line]], dropped: Counter[str], recipe: Recipe) -> None:
    train, holdout = (len(lines[side]) for side in (Split.train, Split.holdout))
    why = ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "none"
    what = "edit" if recipe.method is Method.dpo else "approve"
    if train < MIN_EXAMPLES:
        raise TooFewExamplesError(
            f"there are {train} example(s) to train on, and at least {MIN_EXAMPLES} are needed "
            f"(left out: {why}): {what} more replies"
        )
    if holdout < MIN_HOLDOUT:
        raise TooFewExamplesError(
            f"none of the approved conversations falls into the hold-out (left out: {why}), so a "
            f"candidate could not be judged: {what} replies of more conversations"
        )
