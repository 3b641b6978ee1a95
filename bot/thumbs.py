"""Thumbs: a customer says whether a reply helped."""

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from store import Reply, ReplyStatus, Review, Thumb, Way

RATED = (Way.approved, Way.tuned, Way.retrieval, Way.base)
"""Answers; what a person wrote, or a fixed text, is not for rating."""
_SEEN = (ReplyStatus.ready, ReplyStatus.sending, ReplyStatus.sent)
"""On its way: a web page shows it from the moment that it is ready."""


async def give_thumb(
    session: AsyncSession, conversation_id: str, reply_id: int, is_up: bool | None
) -> bool:
    """Store a thumb, or take it back with none; False where there is nothing to rate.

    A thumb down puts a reply that nobody has reviewed into the review queue.
    """
    reply = await session.get(Reply, reply_id)
    if reply is None or reply.conversation_id != conversation_id:
        return False
    if reply.way not in RATED or reply.status not in _SEEN:
        return False
    if is_up is None:
        await session.execute(delete(Thumb).where(Thumb.reply_id == reply_id))
        return True
    await session.merge(Thumb(reply_id=reply_id, is_up=is_up))
    reviewed = select(Review.id).where(Review.reply_id == reply_id)
    if not is_up and await session.scalar(reviewed) is None:
        reply.needs_review = True
    return True
