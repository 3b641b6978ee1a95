"""Tags: what a reviewed reply is about, in the shop's own words."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.review import NoSuchReplyError, ReviewError
from store import AuditEntry, Review

MOST_TAG_CHARS = 40


def clean_tags(tags: Sequence[str]) -> list[str]:
    """Each once, in small letters.

    Raises:
        ReviewError: one is not one short word.
    """
    cleaned = [tag.strip().lower() for tag in tags if tag.strip()]
    for tag in cleaned:
        if len(tag) > MOST_TAG_CHARS or any(sign in tag for sign in ",:") or " " in tag:
            raise ReviewError(
                f"{tag[:60]!r} is no tag: one word of {MOST_TAG_CHARS} characters at most, such as "
                f"refund, without comma or colon"
            )
    return list(dict.fromkeys(cleaned))


async def set_tags(
    session: AsyncSession, reply_id: int, tags: Sequence[str], *, who: str
) -> Review:
    """Say what a reviewed reply is about; these tags take the place of those before.

    Raises:
        ReviewError: there is no review of this reply, or a tag is not one short word.
    """
    review = await session.scalar(select(Review).where(Review.reply_id == reply_id))
    if review is None:
        raise NoSuchReplyError(f"there is no reviewed reply {reply_id}: review it, then tag it")
    review.tags = clean_tags(tags)
    detail = {"reply_id": reply_id, "tags": review.tags}
    session.add(AuditEntry(who=who, action="tag", detail=detail))
    return review
