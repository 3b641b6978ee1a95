"""The approved replies as pairs: a chunk for each way to ask the question.

A review is the truth of what was approved; the pairs are brought to what it says. What is set
aside for a second look has none until it is released.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from sqlalchemy import Row, Select, and_, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from knowledge.words import same_words_key
from store import (
    Chunk,
    ChunkKind,
    Database,
    Document,
    DocumentKind,
    Reply,
    Review,
    SecondLook,
    SecondLookState,
    Turn,
    Verdict,
    utc_now,
)

SOURCE = "approved replies"
TITLE = "Approved replies"

Pair = tuple[str, str]
"""A question and its answer."""


@dataclass
class Changed:
    """Chunks that came and went."""

    added: list[int] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)


async def make_document(database: Database) -> None:
    """The document that holds the pairs; two processes may try it at the same time."""
    async with database.read() as session:
        if await session.scalar(select(Document.id).where(Document.source == SOURCE)):
            return
    try:
        async with database.write() as session:
            session.add(Document(source=SOURCE, kind=DocumentKind.approved, title=TITLE))
    except IntegrityError:
        pass


async def bring_pairs(session: AsyncSession, reply_id: int) -> Changed:
    """Make the pairs of a reply what its review says; none while it is not approved, or aside."""
    document = await _hold_document(session)
    assert document is not None
    row = (await session.execute(_reviews().where(Reply.id == reply_id))).one_or_none()
    wanted = _pairs_of(row) if row else []
    stored = (await session.scalars(select(Chunk).where(Chunk.reply_id == reply_id))).all()
    if sorted(wanted) == sorted((chunk.question or "", chunk.text) for chunk in stored):
        return Changed()
    changed = Changed(removed=[chunk.id for chunk in stored])
    await session.execute(delete(Chunk).where(Chunk.id.in_(changed.removed)))
    last = select(func.max(Chunk.seq)).where(Chunk.document_id == document.id)
    taken = await session.scalar(last)
    for seq, (question, answer) in enumerate(wanted, start=0 if taken is None else taken + 1):
        chunk = Chunk(
            document_id=document.id,
            seq=seq,
            kind=ChunkKind.pair,
            question=question,
            text=answer,
            reply_id=reply_id,
            conversation_id=row.conversation_id if row else None,
        )
        session.add(chunk)
        await session.flush()
        changed.added.append(chunk.id)
    document.updated_at = utc_now()
    return changed


async def drop_pairs(session: AsyncSession, reply_ids: Collection[int]) -> Changed:
    """Remove the pairs of replies."""
    await _hold_document(session)
    removed = await session.scalars(
        delete(Chunk).where(Chunk.reply_id.in_(reply_ids)).returning(Chunk.id)
    )
    return Changed(removed=list(removed.all()))


async def _hold_document(session: AsyncSession) -> Document | None:
    """Held: two processes neither hand out the same `seq` nor bring what the other drops."""
    return await session.scalar(select(Document).where(Document.source == SOURCE).with_for_update())


async def replies_behind(session: AsyncSession) -> list[int]:
    """The replies whose pairs are not what their review says: a crash came between the two."""
    wanted: dict[int, set[Pair]] = defaultdict(set)
    for row in await session.execute(_reviews()):
        wanted[row.reply_id].update(_pairs_of(row))
    stored: dict[int, set[Pair]] = defaultdict(set)
    pairs = select(Chunk.reply_id, Chunk.question, Chunk.text).where(Chunk.reply_id.is_not(None))
    for reply_id, question, text in await session.execute(pairs):
        stored[reply_id or 0].add((question or "", text))
    return sorted(
        reply_id
        for reply_id in wanted.keys() | stored.keys()
        if wanted[reply_id] != stored[reply_id]
    )


def _reviews() -> Select[int, str, Verdict, str | None, list[str], str, int]:
    is_aside = and_(
        SecondLook.reply_id == Review.reply_id, SecondLook.state == SecondLookState.aside
    )
    return (
        select(
            Review.reply_id,
            Reply.conversation_id,
            Review.verdict,
            Review.text,
            Review.phrasings,
            Turn.text.label("question"),
            SecondLook.id.label("aside"),
        )
        .join(Reply, Reply.id == Review.reply_id)
        .outerjoin(Turn, Turn.id == Reply.turn_id)
        .outerjoin(SecondLook, is_aside)
    )


def _pairs_of(row: Row[int, str, Verdict, str | None, list[str], str, int]) -> list[Pair]:
    is_out = row.verdict == Verdict.rejected or row.aside is not None
    if is_out or not (row.text or "").strip():
        return []
    return [(question, row.text) for question in _distinct([row.question or "", *row.phrasings])]


def _distinct(questions: Iterable[str]) -> list[str]:
    """Each question once, whatever its case and punctuation; empty ones not at all."""
    by_key: dict[str, str] = {}
    for question in map(str.strip, questions):
        if key := same_words_key(question):
            by_key.setdefault(key, question)
    return list(by_key.values())
