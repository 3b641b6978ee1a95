"""A conversation as its rows say: the turns, their replies and what reviewers said of these."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, select

from app.console.visit import Visit
from store import Conversation, Reply, ReplyStatus, Review, Turn

TURNS = 200


@dataclass(frozen=True, eq=False)
class Talk:
    """One conversation as it stands; equal where nothing to be seen has changed."""

    conversation: Conversation
    turns: tuple[tuple[Turn, Reply | None], ...]
    held: tuple[Reply, ...]
    stopped: dict[int, list[Reply]]
    """By the turn that they would have answered: replies that a verdict has kept from going out."""
    reviews: dict[int, Review]
    """By reply."""

    def question_of(self, reply: Reply) -> str:
        """What it answers; empty where that is gone, or further up than what is shown."""
        return next((turn.text for turn, _ in self.turns if turn.id == reply.turn_id), "")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Talk) and self._key() == other._key()

    def _key(self) -> tuple[Any, ...]:
        return (
            self.conversation.last_seq,
            self.conversation.taken_over_by,
            self.conversation.wants_person_at,
            [
                (turn.id, turn.text, turn.state, reply and reply.status)
                for turn, reply in self.turns
            ],
            [reply.id for reply in self.held],
            sorted(reply.id for replies in self.stopped.values() for reply in replies),
            {
                reply_id: (each.verdict, each.text, each.reviewer, each.created_at, each.tags)
                for reply_id, each in self.reviews.items()
            },
        )


async def read_talk(visit: Visit, conversation_id: str) -> Talk | None:
    """The newest turns of a conversation; none where there is no such conversation."""
    turns = (
        select(Turn, Reply)
        .outerjoin(Reply, Reply.id == Turn.reply_id)
        .where(Turn.conversation_id == conversation_id)
        .order_by(Turn.seq.desc())
        .limit(TURNS)
    )
    ours = select(Reply).where(Reply.conversation_id == conversation_id).order_by(Reply.id)
    is_turn = exists().where(Turn.reply_id == Reply.id, Turn.conversation_id == conversation_id)
    stopped = ours.join(Review, Review.reply_id == Reply.id).where(
        Reply.status == ReplyStatus.withdrawn, Reply.turn_id.is_not(None), ~is_turn
    )
    reviews = (
        select(Review)
        .join(Reply, Reply.id == Review.reply_id)
        .where(Reply.conversation_id == conversation_id)
    )
    async with visit.database.read() as session:
        conversation = await session.get(Conversation, conversation_id)
        if conversation is None:
            return None
        rows = [(row[0], row[1]) for row in await session.execute(turns)]
        held = tuple(await session.scalars(ours.where(Reply.status == ReplyStatus.held)))
        by_turn: dict[int, list[Reply]] = defaultdict(list)
        for reply in await session.scalars(stopped):
            by_turn[reply.turn_id or 0].append(reply)
        given = {review.reply_id: review for review in await session.scalars(reviews)}
    return Talk(conversation, tuple(reversed(rows)), held, dict(by_turn), given)
