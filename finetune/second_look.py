"""The second look: approved replies that a person should see again before they are learnt.

What looks suspicious (finetune.poison) is set aside, with the reasons: it is in no dataset, and not
looked up, until somebody releases it. Who strikes it rejects it after all. What was released is not
set aside again.

Nobody releases what they approved themselves, as long as somebody else may: four eyes, where there
are four.
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import numpy as np
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from finetune.examples import Approved, read_approved
from finetune.poison import Reason, Suspects, find_outliers, find_suspects
from knowledge import Knowledge
from knowledge.approved import drop_pairs
from knowledge.embed import Vectors
from store import (
    AuditEntry,
    Chunk,
    ChunkKind,
    Database,
    Example,
    Reply,
    Review,
    SecondLook,
    SecondLookState,
    Turn,
    User,
    UserRole,
    Verdict,
    utc_now,
)

ODD = Reason("outlier", "the answer is unlike all others")
USUAL = 300
"""Answers that an outlier is measured against, at most: each has to be embedded."""

Embed = Callable[[Sequence[str]], Awaitable[Vectors]]


class SecondLookError(ValueError):
    """That cannot be decided, or not by this person; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Aside:
    """A reply that waits for a second look."""

    reply_id: int
    conversation_id: str
    question: str
    answer: str
    reviewer: str
    reasons: list[Reason]
    since: datetime


async def look_twice(
    database: Database,
    approved: Sequence[Approved],
    documents: Collection[str],
    embed: Embed | None = None,
) -> set[int]:
    """Set aside what looks suspicious, and return all replies that must not be learnt now.

    Args:
        embed: gives the embeddings of answers; without it no outliers are looked for.

    Raises:
        EmbeddingAwayError: nothing is set aside; the next try does it.
    """
    async with database.read() as session:
        looks = {row.reply_id: row.state for row in await session.scalars(select(SecondLook))}
        trained = {
            reply_id for ids in await session.scalars(select(Example.reply_ids)) for reply_id in ids
        }
    released = {key for key, state in looks.items() if state is SecondLookState.released}
    suspects = await asyncio.to_thread(find_suspects, approved, documents, released)
    if embed is not None:
        for reply_id in await _find_odd(approved, trained | looks.keys(), embed):
            suspects.setdefault(reply_id, []).append(ODD)
    fresh = {reply_id: why for reply_id, why in suspects.items() if reply_id not in looks}
    if fresh:
        async with database.write() as session:
            await _set_aside(session, fresh)
    return (looks.keys() - released) | fresh.keys()


async def check(database: Database, embed: Embed | None = None) -> int:
    """Look at everything that is approved, as a retrain does; how many replies that are."""
    async with database.read() as session:
        approved = await read_approved(session)
        passages = await session.scalars(select(Chunk.text).where(Chunk.kind == ChunkKind.passage))
        documents = list(passages)
    await look_twice(database, approved, documents, embed)
    return len({example.reply_id for example in approved})


async def read_aside(session: AsyncSession, limit: int | None = None) -> list[Aside]:
    """What waits for a second look, the oldest first, `limit` of it at most."""
    rows = await session.execute(
        select(SecondLook, Reply, Review, Turn.text)
        .join(Reply, Reply.id == SecondLook.reply_id)
        .join(Review, Review.reply_id == Reply.id)
        .outerjoin(Turn, Turn.id == Reply.turn_id)
        .where(SecondLook.state == SecondLookState.aside)
        .order_by(SecondLook.id)
        .limit(limit)
    )
    return [
        Aside(
            reply_id=reply.id,
            conversation_id=reply.conversation_id,
            question=question or "",
            answer=review.text or reply.text,
            reviewer=review.reviewer,
            reasons=[Reason(**reason) for reason in look.reasons],
            since=look.created_at,
        )
        for look, reply, review, question in rows
    ]


async def count_aside(session: AsyncSession) -> int:
    """How many replies wait for a second look."""
    waits = select(func.count()).where(SecondLook.state == SecondLookState.aside)
    return await session.scalar(waits) or 0


async def is_alone(session: AsyncSession, who: str) -> bool:
    """Whether no other operator or owner could look twice at what `who` approved."""
    may = [role for role in UserRole if role.may_act_as(UserRole.operator)]
    others = select(User.id).where(User.name != who, User.role.in_(may), User.disabled_at.is_(None))
    return await session.scalar(others.limit(1)) is None


async def release(
    database: Database, knowledge: Knowledge | None, reply_ids: Collection[int], who: str
) -> int:
    """Let replies be learnt and looked up like any other; how many were set aside.

    Args:
        knowledge: where they are findable at once; without it, `Knowledge.sync` does it.

    Raises:
        SecondLookError: one of them is not set aside, or was approved by `who`, who is not alone.
    """
    async with database.write() as session:
        mine = select(Review.reply_id).where(Review.reply_id.in_(reply_ids), Review.reviewer == who)
        if (own := sorted(await session.scalars(mine))) and not await is_alone(session, who):
            listed = ", ".join(map(str, own))
            raise SecondLookError(
                f"{who} has approved reply {listed}: another operator or owner must look twice"
            )
        count = await _decide(session, reply_ids, SecondLookState.released, who)
    await _bring(knowledge, reply_ids)
    return count


async def strike(
    database: Database, knowledge: Knowledge | None, reply_ids: Collection[int], who: str
) -> int:
    """Reject replies after all: they are learnt nowhere, and no longer looked up.

    Args:
        knowledge: what it may still hold of them goes at once; without it, with `Knowledge.sync`.

    Raises:
        SecondLookError: one of them is not set aside.
    """
    async with database.write() as session:
        # Reviews first, as a verdict that is changed does: two who wait for each other never end.
        await session.execute(
            update(Review)
            .where(Review.reply_id.in_(reply_ids))
            .values(verdict=Verdict.rejected, text=None, reason=f"struck by {who}"[:500])
        )
        count = await _decide(session, reply_ids, SecondLookState.struck, who)
    await _bring(knowledge, reply_ids)
    return count


async def _bring(knowledge: Knowledge | None, reply_ids: Collection[int]) -> None:
    if knowledge is not None:
        for reply_id in reply_ids:
            await knowledge.learn(reply_id)


async def _decide(
    session: AsyncSession, reply_ids: Collection[int], state: SecondLookState, who: str
) -> int:
    found = await session.scalars(
        select(SecondLook.reply_id).where(
            SecondLook.reply_id.in_(reply_ids), SecondLook.state == SecondLookState.aside
        )
    )
    if missing := sorted(set(reply_ids) - set(found)):
        listed = ", ".join(map(str, missing))
        raise SecondLookError(
            f"not set aside: reply {listed}; `nod dataset aside` lists what waits for a second look"
        )
    await session.execute(
        update(SecondLook)
        .where(SecondLook.reply_id.in_(reply_ids))
        .values(state=state, decided_by=who[:64], decided_at=utc_now())
    )
    detail = {"reply_ids": sorted(reply_ids)}
    session.add(AuditEntry(who=who, action=f"second_look_{state}", detail=detail))
    return len(set(reply_ids))


async def _set_aside(session: AsyncSession, fresh: Suspects) -> None:
    """Another process may have set the same aside meanwhile, or a customer's wish removed it."""
    known = set(await session.scalars(select(SecondLook.reply_id)))
    present = set(await session.scalars(select(Reply.id).where(Reply.id.in_(fresh))))
    session.add_all(
        SecondLook(reply_id=reply_id, reasons=[asdict(reason) for reason in reasons])
        for reply_id, reasons in sorted(fresh.items())
        if reply_id in present - known
    )
    # In the same transaction: from now on nobody is answered with it. The indexes follow.
    await drop_pairs(session, present - known)


async def _find_odd(
    approved: Sequence[Approved], known: Collection[int], embed: Embed
) -> list[int]:
    """New replies whose answer is unlike the others: what was trained before is not looked at."""
    answers: dict[str, list[int]] = defaultdict(list)
    for example in approved:
        answers[example.answer].append(example.reply_id)
    new = [text for text, ids in answers.items() if not set(ids) & set(known)]
    usual = sorted(answers, key=_shuffled)[:USUAL]
    if not new or len(usual) < 2:
        return []
    texts = list(dict.fromkeys([*usual, *new]))
    vectors = dict(zip(texts, await embed(texts), strict=True))
    rows, among = (np.stack([vectors[text] for text in some]) for some in (new, usual))
    odd = await asyncio.to_thread(find_outliers, rows, among)
    return [reply_id for row in odd for reply_id in answers[new[row]]]


def _shuffled(text: str) -> bytes:
    """The same order at every run, and none that anybody chose."""
    return hashlib.sha256(text.encode()).digest()
