"""Examples: what reviewers approved becomes what the model learns.

Only a reply that a person approved or edited teaches; what was sent unreviewed, or rejected, never
does. Each way to ask (the customer's, and the phrasings of the review) is one example, with the
history that the customer's question had. An edit also tells what was not wanted: the draft.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.prompt import Chat
from bot.turns import read_histories, read_history
from knowledge.words import same_words_key
from store import Conversation, Reply, Review, Turn, Verdict, Way

TEACHING = (Verdict.approved, Verdict.edited)


@dataclass(frozen=True, kw_only=True)
class Approved:
    """One question with the answer that a person approved."""

    conversation_id: str
    reply_id: int
    phrasing: int
    """0 is how the customer asked; the others come from the review."""
    question: str
    answer: str
    history: Chat
    draft: str = ""
    """What a model wrote, where a person edited it: the rejected side of a pair."""
    reviewer: str = ""
    asked_at: datetime | None = None
    reviewed_at: datetime | None = None


async def read_approved(session: AsyncSession) -> list[Approved]:
    """All that reviewers approved or edited, in an order that only depends on the rows."""
    rows = await session.execute(
        select(Reply, Review, Turn, Conversation.context_from_seq)
        .join(Review, Review.reply_id == Reply.id)
        .join(Turn, Turn.id == Reply.turn_id)
        .join(Conversation, Conversation.id == Reply.conversation_id)
        .where(Review.verdict.in_(TEACHING), Reply.way != Way.notice)
        .order_by(Reply.conversation_id, Turn.seq, Reply.id)
    )
    said = [row for row in rows.all() if (row[1].text or "").strip()]
    asked = [(turn, _since(turn, reset_seq)) for _, _, turn, reset_seq in said]
    histories = await session.run_sync(read_histories, asked)
    return [
        example
        for (reply, review, turn, _), history in zip(said, histories, strict=True)
        for example in _phrase(reply, review, turn, (review.text or "").strip(), history)
    ]


def _phrase(
    reply: Reply, review: Review, turn: Turn, answer: str, history: Chat
) -> Iterator[Approved]:
    ways = dict.fromkeys(way.strip() for way in (turn.text, *review.phrasings))
    for phrasing, way in enumerate(way for way in ways if way):
        yield Approved(
            conversation_id=reply.conversation_id,
            reply_id=reply.id,
            phrasing=phrasing,
            question=way,
            answer=answer,
            history=history,
            draft="" if phrasing else _draft_of(reply, review, answer),
            reviewer=review.reviewer,
            asked_at=turn.created_at,
            reviewed_at=review.created_at,
        )


def _draft_of(reply: Reply, review: Review, answer: str) -> str:
    """The draft that an edit took the place of; a fixed text is nobody's draft."""
    if review.verdict is not Verdict.edited or reply.way is Way.unknown:
        return ""
    draft = reply.draft.strip()
    return "" if same_words_key(draft) == same_words_key(answer) else draft


async def history_of(session: AsyncSession, reply_id: int) -> Chat:
    """The exchanges before the question that a reply answers; none when it is gone."""
    row = (
        await session.execute(
            select(Turn, Conversation.context_from_seq)
            .join(Reply, Reply.turn_id == Turn.id)
            .join(Conversation, Conversation.id == Turn.conversation_id)
            .where(Reply.id == reply_id)
        )
    ).one_or_none()
    if row is None:
        return []
    return await session.run_sync(read_history, row[0], from_seq=_since(*row))


def _since(turn: Turn, reset_seq: int) -> int:
    """A /reset that came later does not shorten what the question had before it."""
    return reset_seq if reset_seq <= turn.seq else 0
