"""Lineage: what taught a reply, and what a turn has taught.

back     reply -> model version -> run -> dataset -> examples -> reviews -> customers' turns
               -> what was looked up: documents, approved replies -> reviews -> turns
forward  turn  -> replies -> reviews -> pairs that are looked up
                                     -> examples -> datasets -> runs -> model versions -> replies
"""

import re
from typing import TypeVar

from sqlalchemy import String, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from finetune.node import LineageError, Node
from finetune.scores import chrf
from store import (
    Base,
    Chunk,
    Dataset,
    Example,
    ModelVersion,
    Reply,
    Review,
    Run,
    Split,
    Turn,
    Way,
)

NEAREST = 5
"""Of a dataset's examples, those shown behind one reply."""
MOST_SCANNED = 5000
_Row = TypeVar("_Row", bound=Base)
_ID = re.compile(r"(?:(reply|turn|example|dataset|run|model)[:#]?)?v?(\d{1,9})", re.IGNORECASE)


async def trace_back(session: AsyncSession, what: str) -> Node:
    """The tree of what stands behind a reply, turn, example, dataset version, run or model.

    `what` is a reply's number, or another kind with its number: `turn:5`, `run:2`, `model:3`.

    Raises:
        LineageError: there is no such thing.
    """
    kind, number = parse_id(what)
    match kind:
        case "reply":
            return await _reply(session, await _get(session, Reply, number, kind))
        case "turn":
            return _turn(await _get(session, Turn, number, kind))
        case "example":
            return await _example(session, await _get(session, Example, number, kind))
        case "dataset":
            return await _dataset(session, await _dataset_of_version(session, number), "")
        case "run":
            return await _run(session, await _get(session, Run, number, kind), "")
        case _:
            return await _version(session, await _get(session, ModelVersion, number, "model"), "")


def parse_id(what: str) -> tuple[str, int]:
    """Kind and number; a number alone is a reply's.

    Raises:
        LineageError: it is neither.
    """
    found = _ID.fullmatch(what.strip())
    if found is None:
        raise LineageError(
            f"{what!r} names nothing: give a reply's number, or turn:5, example:7, dataset:2, "
            f"run:3, model:4"
        )
    return (found[1] or "reply").lower(), int(found[2])


async def _reply(session: AsyncSession, reply: Reply) -> Node:
    asked = await session.get(Turn, reply.turn_id) if reply.turn_id else None
    children = []
    if reply.model_version_id is not None:
        version = await session.get(ModelVersion, reply.model_version_id)
        if version is not None:
            children.append(await _version(session, version, asked.text if asked else reply.text))
    elif reply.model:
        children.append(Node.of("base model", reply.model, "learnt nothing here"))
    children += await _sources(session, reply)
    if asked is not None:
        children.append(_turn(asked))
    if review := await _review_of(session, reply.id):
        children.append(_review(review))
    return Node.of("reply", reply.id, reply.text, f"{reply.way}: {reply.reason}", *children)


async def _version(session: AsyncSession, version: ModelVersion, question: str) -> Node:
    run = await session.get(Run, version.run_id) if version.run_id else None
    children = [await _run(session, run, question)] if run else []
    detail = f"{version.stage}, on {version.base_model}"
    if version.tainted_at is not None:
        detail += ", tainted: somebody behind it wanted to be forgotten"
    return Node.of("model", version.id, version.model, detail, *children)


async def _run(session: AsyncSession, run: Run, question: str) -> Node:
    dataset = await session.get(Dataset, run.dataset_id) if run.dataset_id else None
    children = [await _dataset(session, dataset, question)] if dataset else []
    by = run.requested_by or run.trigger
    return Node.of("run", run.id, f"{run.state}, asked for by {by}", run.base_model, *children)


async def _dataset(session: AsyncSession, dataset: Dataset, question: str) -> Node:
    """With the examples that are nearest to the question in their words."""
    rows = await session.scalars(
        select(Example)
        .where(Example.dataset_id == dataset.id, Example.split == Split.train)
        .order_by(Example.seq)
        .limit(MOST_SCANNED)
    )
    examples = list(rows)
    if question:
        examples.sort(key=lambda each: -chrf(each.question, question))
    children = [await _example(session, example) for example in examples[:NEAREST]]
    told = f"{dataset.train_count} to train on, {dataset.holdout_count} held out"
    if len(examples) > NEAREST:
        told += f"; the {NEAREST} {'nearest' if question else 'first'} of them"
    title = f"v{dataset.version} ({dataset.sha256[:12]})"
    return Node.of("dataset", dataset.version, title, told, *children)


async def _example(session: AsyncSession, example: Example) -> Node:
    children = []
    for reply_id in _trained_by(example):
        review = await _review_of(session, reply_id)
        reply = await session.get(Reply, reply_id)
        if review is not None and reply is not None:
            asked = await session.get(Turn, reply.turn_id) if reply.turn_id else None
            children.append(_review(review, *([_turn(asked)] if asked else [])))
    title = f"{example.question} -> {example.answer}"
    return Node.of("example", example.id, title, f"{example.split}", *children)


async def _sources(session: AsyncSession, reply: Reply) -> list[Node]:
    """What was looked up: approved replies with their reviews and turns, documents by title."""
    nodes = []
    for source in reply.sources:
        told_id = source.get("reply_id")
        if told_id is None:
            chunk = await session.get(Chunk, source.get("chunk_id") or 0)
            told_id = chunk.reply_id if chunk else None
        told = await session.get(Reply, told_id) if told_id else None
        title = str(source.get("title") or "?")
        if told is None:
            nodes.append(Node.of("document", source.get("source"), title, "looked up"))
            continue
        review = await _review_of(session, told.id)
        asked = await session.get(Turn, told.turn_id) if told.turn_id else None
        leaves = [_turn(asked)] if asked else []
        children = [_review(review, *leaves)] if review else leaves
        nodes.append(Node.of("approved reply", told.id, told.text, "looked up", *children))
    return nodes


async def trace_forward(session: AsyncSession, what: str) -> Node:
    """The tree of all that a turn or a reply has taught.

    Raises:
        LineageError: there is no such thing, or it is neither a turn nor a reply.
    """
    kind, number = parse_id(what)
    if kind == "reply":
        return await _taught(session, await _get(session, Reply, number, kind))
    if kind != "turn":
        raise LineageError(f"{what!r}: only a turn or a reply teaches; its lineage goes back")
    turn = await _get(session, Turn, number, kind)
    replies = await session.scalars(
        select(Reply)
        .where(or_(Reply.turn_id == turn.id, Reply.id == turn.reply_id))
        .order_by(Reply.id)
    )
    children = [await _taught(session, reply) for reply in replies]
    return Node.of("turn", turn.id, turn.text, f"{turn.role}", *children)


async def _taught(session: AsyncSession, reply: Reply) -> Node:
    review = await _review_of(session, reply.id)
    children = []
    if review is not None:
        children.append(
            _review(
                review,
                *await _pairs(session, reply.id),
                *await _examples_from(session, reply),
            )
        )
    detail = f"{reply.way}" if review else f"{reply.way}: nobody reviewed it, so it taught nothing"
    return Node.of("reply", reply.id, reply.text, detail, *children)


async def _pairs(session: AsyncSession, reply_id: int) -> list[Node]:
    """The pairs that can be looked up, and how often one was sent word for word."""
    chunks = await session.scalars(select(Chunk).where(Chunk.reply_id == reply_id))
    sent = await session.scalars(
        select(Reply.sources).where(
            Reply.way == Way.approved,
            cast(Reply.sources, String).like(f'%"reply_id": {reply_id}%'),
        )
    )
    count = sum(any(source.get("reply_id") == reply_id for source in each) for each in sent)
    told = f"looked up; sent word for word {count} time(s)"
    return [Node.of("pair", chunk.id, chunk.question or chunk.text, told) for chunk in chunks]


async def _examples_from(session: AsyncSession, reply: Reply) -> list[Node]:
    """The lines that train this reply, or quote it, by dataset; with what was trained on them."""
    quoted = cast(Example.quoted_reply_ids, String)
    found = await session.scalars(
        select(Example)
        .where(
            or_(
                Example.conversation_id == reply.conversation_id,
                quoted.like(f"%{reply.id}%"),
            )
        )
        .order_by(Example.dataset_id, Example.seq)
    )
    nodes: dict[int, list[Node]] = {}
    for example in found:
        trains = reply.id in _trained_by(example)
        if trains or reply.id in example.quoted_reply_ids:
            how = f"{example.split}" if trains else f"{example.split}, quoted as context"
            leaf = Node.of("example", example.id, example.question, how)
            nodes.setdefault(example.dataset_id, []).append(leaf)
    return [await _dataset_with(session, key, leaves) for key, leaves in nodes.items()]


async def _dataset_with(session: AsyncSession, dataset_id: int, leaves: list[Node]) -> Node:
    dataset = await session.get_one(Dataset, dataset_id)
    runs = await session.scalars(select(Run).where(Run.dataset_id == dataset_id).order_by(Run.id))
    children = [*leaves, *[await _run_forward(session, run) for run in runs]]
    return Node.of("dataset", dataset.version, f"v{dataset.version}", "", *children)


async def _run_forward(session: AsyncSession, run: Run) -> Node:
    versions = await session.scalars(select(ModelVersion).where(ModelVersion.run_id == run.id))
    children = []
    for version in versions:
        count = await session.scalar(
            select(func.count()).select_from(Reply).where(Reply.model_version_id == version.id)
        )
        told = f"{version.stage}; wrote {count} replies"
        children.append(Node.of("model", version.id, version.model, told))
    return Node.of("run", run.id, f"{run.state}", run.base_model, *children)


def _trained_by(example: Example) -> list[int]:
    """The replies that a line trains; older datasets name the last one alone."""
    return example.reply_ids or ([example.reply_id] if example.reply_id else [])


def _review(review: Review, *children: Node) -> Node:
    detail = f"by {review.reviewer} on {review.created_at:%Y-%m-%d %H:%M} UTC"
    title = f"{review.verdict}: {review.text}" if review.text else f"{review.verdict}"
    return Node.of("review", review.id, title, detail, *children)


def _turn(turn: Turn) -> Node:
    return Node.of("turn", turn.id, turn.text, f"{turn.role}, {turn.created_at:%Y-%m-%d %H:%M} UTC")


async def _review_of(session: AsyncSession, reply_id: int) -> Review | None:
    return await session.scalar(select(Review).where(Review.reply_id == reply_id))


async def _get(session: AsyncSession, row: type[_Row], number: int, kind: str) -> _Row:
    found = await session.get(row, number)
    if found is None:
        raise LineageError(f"there is no {kind} {number}")
    return found


async def _dataset_of_version(session: AsyncSession, version: int) -> Dataset:
    dataset = await session.scalar(select(Dataset).where(Dataset.version == version))
    if dataset is None:
        raise LineageError(f"there is no dataset v{version}; `nod dataset list` shows them")
    return dataset
