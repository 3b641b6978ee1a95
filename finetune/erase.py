"""Erase: everything in the database that holds a conversation's words, in one transaction."""

from collections import Counter
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, String, cast, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from bot.forgetting import CUSTOMER
from finetune.questions import LIVE_OFF_TOPIC, OFF_TOPIC
from store import (
    AuditEntry,
    Chunk,
    Conversation,
    Dataset,
    EvaluationItem,
    Example,
    Forgetting,
    ModelVersion,
    Reply,
    ReplyStatus,
    Run,
    Split,
    Turn,
    TurnState,
    utc_now,
)

AT_ONCE = 200
"""Ids in one statement."""


class InUseError(Exception):
    """An answer is being made, or is on its way: it has to end first."""


async def erase(session: AsyncSession, row: Forgetting) -> None:
    """Delete what a forgetting names, and note in it what is left to remove elsewhere.

    Raises:
        InUseError: try again in a moment; nothing is deleted.
    """
    assert row.conversation_id is not None
    conversation = await session.get(Conversation, row.conversation_id, with_for_update=True)
    turns = _turns_of(row)
    await _refuse_in_use(session, row, turns)
    reply_ids = await _replies_of(session, row, turns)
    chunk_ids = list(await _in_parts(session, select(Chunk.id), Chunk.reply_id, reply_ids))
    struck = await _strike_lines(session, row.conversation_id, reply_ids)
    quoting = await _clean_quotes(session, row.conversation_id, chunk_ids)
    count = await session.scalar(select(func.count()).select_from(Turn).where(turns))
    for part in _parts(reply_ids):
        await session.execute(delete(Chunk).where(Chunk.reply_id.in_(part)))
        await session.execute(delete(Reply).where(Reply.id.in_(part)))
    await session.execute(delete(Turn).where(turns))
    if row.before_seq is None:
        await session.execute(delete(Conversation).where(Conversation.id == row.conversation_id))
        await _clean_audit(session, row.conversation_id)
    elif conversation is not None:
        conversation.context_from_seq = max(conversation.context_from_seq, row.before_seq)
        if row.asked_by == CUSTOMER:
            conversation.customer_name = conversation.wants_person_at = None
    row.to_remove = {"chunk_ids": chunk_ids, "versions": struck.pop("versions")}
    counts = {
        "turns": count or 0,
        "replies": len(reply_ids),
        "pairs": len(chunk_ids),
        "quotes": quoting,
        **struck,
    }
    row.report = dict(Counter(row.report) + Counter(counts))


def _turns_of(row: Forgetting) -> ColumnElement[bool]:
    ours = Turn.conversation_id == row.conversation_id
    return ours if row.before_seq is None else ours & (Turn.seq < row.before_seq)


async def _refuse_in_use(
    session: AsyncSession, row: Forgetting, turns: ColumnElement[bool]
) -> None:
    now = utc_now()
    answering = select(Turn.id).where(
        turns, Turn.state == TurnState.answering, Turn.claimed_until > now
    )
    sending = select(Reply.id).where(
        Reply.conversation_id == row.conversation_id,
        Reply.status == ReplyStatus.sending,
        Reply.claimed_until > now,
    )
    if await session.scalar(answering) or await session.scalar(sending):
        raise InUseError


async def _replies_of(
    session: AsyncSession, row: Forgetting, turns: ColumnElement[bool]
) -> list[int]:
    ours = Reply.conversation_id == row.conversation_id
    if row.before_seq is not None:
        told = select(Turn.reply_id).where(turns, Turn.reply_id.is_not(None))
        ours &= or_(Reply.turn_id.in_(select(Turn.id).where(turns)), Reply.id.in_(told))
    return list(await session.scalars(select(Reply.id).where(ours)))


async def _strike_lines(
    session: AsyncSession, conversation_id: str, reply_ids: Collection[int]
) -> dict[str, Any]:
    """Delete the lines that hold or quote it, and mark what was made of them.

    All lines of the conversation go: a later one shows what was said before.
    """
    lines = await _find_lines(session, conversation_id, set(reply_ids))
    by_dataset = Counter(line.dataset_id for line in lines)
    trained = {line.dataset_id for line in lines if line.split is Split.train}
    now = utc_now()
    for part in _parts([line.id for line in lines]):
        await session.execute(delete(Example).where(Example.id.in_(part)))
    # After the lines: who keeps an answer holds its line until the answer is there to be found.
    for line in lines:
        if line.split is Split.holdout:
            await _delete_answers(session, line)
    for dataset_id, count in by_dataset.items():
        await session.execute(
            update(Dataset)
            .where(Dataset.id == dataset_id)
            .values(struck_at=now, struck_count=Dataset.struck_count + count)
        )
    tainted = await session.scalars(
        update(ModelVersion)
        .where(ModelVersion.dataset_id.in_(trained), ModelVersion.tainted_at.is_(None))
        .values(tainted_at=now)
        .returning(ModelVersion.id)
    )
    # Its steps delete the files that a run may have left at the provider.
    await session.execute(
        update(Run)
        .where(Run.dataset_id.in_(by_dataset), ~Run.is_active)
        .values(leftovers_due_at=now, leftovers_attempts=0)
    )
    versions = await session.scalars(select(Dataset.version).where(Dataset.id.in_(by_dataset)))
    return {
        "versions": sorted(versions),
        "lines": len(lines),
        "datasets": len(by_dataset),
        "model_versions": len(tainted.all()),
    }


async def _find_lines(
    session: AsyncSession, conversation_id: str, reply_ids: set[int]
) -> list[Example]:
    own = list(
        await session.scalars(select(Example).where(Example.conversation_id == conversation_id))
    )
    quoting = await session.execute(
        select(Example.id, Example.quoted_reply_ids).where(
            cast(Example.quoted_reply_ids, String) != "[]"
        )
    )
    quoted = [line_id for line_id, quotes in quoting if reply_ids & set(quotes)]
    known = {line.id for line in own}
    others = await _in_parts(session, select(Example), Example.id, set(quoted) - known)
    return [*own, *others]


async def _delete_answers(session: AsyncSession, line: Example) -> None:
    """What an evaluation asked and got: the question stands in each row."""
    await session.execute(
        delete(EvaluationItem).where(
            EvaluationItem.run_id.in_(select(Run.id).where(Run.dataset_id == line.dataset_id)),
            EvaluationItem.item == line.seq,
            EvaluationItem.arm.not_in((OFF_TOPIC, LIVE_OFF_TOPIC)),
        )
    )


async def _clean_quotes(
    session: AsyncSession, conversation_id: str, chunk_ids: Collection[int]
) -> int:
    """Empty the prompts of other customers' replies in which it stands, and drop it as a source."""
    gone, count = set(chunk_ids), 0
    for part in _parts(chunk_ids):
        named = or_(
            *(cast(Reply.sources, String).contains(f'"chunk_id": {each},') for each in part)
        )
        found = await session.scalars(
            select(Reply).where(Reply.conversation_id != conversation_id, named)
        )
        for reply in found:
            reply.prompt = []
            reply.sources = [each for each in reply.sources if each.get("chunk_id") not in gone]
            reply.reason = reply.reason.partition(" like ")[0]
            count += 1
    return count


async def _clean_audit(session: AsyncSession, conversation_id: str) -> None:
    """Who did what stays; with whom does not."""
    entries = await session.scalars(
        select(AuditEntry).where(cast(AuditEntry.detail, String).contains(conversation_id))
    )
    for entry in entries:
        entry.detail = {
            key: value for key, value in entry.detail.items() if value != conversation_id
        }


def _parts(ids: Collection[int]) -> list[list[int]]:
    listed = sorted(ids)
    return [listed[start : start + AT_ONCE] for start in range(0, len(listed), AT_ONCE)]


async def _in_parts(
    session: AsyncSession, query: Any, column: Any, ids: Collection[int]
) -> list[Any]:
    return [
        row for part in _parts(ids) for row in await session.scalars(query.where(column.in_(part)))
    ]
