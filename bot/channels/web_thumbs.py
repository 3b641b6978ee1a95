"""Thumbs in the web chat: POST /chat/thumbs {"seq": 4, "thumb": "up" | "down" | null}."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from bot.thumbs import RATED, give_thumb
from store import Database, Turn, Way


class ThumbPost(BaseModel):
    """What the page sends; `seq` is the turn's."""

    model_config = ConfigDict(extra="forbid")

    seq: int = Field(ge=1, le=2**31 - 1)
    thumb: Literal["up", "down"] | None


async def keep_thumb(database: Database, conversation: str, post: ThumbPost) -> bool:
    """Store it; False where this conversation has no such reply to rate."""
    is_up = None if post.thumb is None else post.thumb == "up"
    async with database.write() as session:
        reply_id = await session.scalar(
            select(Turn.reply_id).where(Turn.conversation_id == conversation, Turn.seq == post.seq)
        )
        return reply_id is not None and await give_thumb(session, conversation, reply_id, is_up)


def show_thumb(way: Way | None, is_up: bool | None) -> dict[str, Any]:
    """What the page needs to offer thumbs under a turn; `is_up` is the thumb given."""
    if way not in RATED:
        return {}
    said = None if is_up is None else "up" if is_up else "down"
    return {"thumb": said, "is_rated": True}
