"""The review queue as the rows say: what waits for a verdict, the customers who wait first."""

from dataclasses import dataclass

from sqlalchemy import func, select

from app.console.visit import Visit
from bot.effect import original_text
from store import Conversation, Reply, ReplyStatus, Review, Turn

SHOWN = 30
"""Cards on the page; the next ones come as these are decided."""


@dataclass(frozen=True)
class Item:
    """A reply that waits for a verdict, or for another one, with what was asked."""

    reply: Reply
    question: str
    channel: str
    customer_name: str | None
    review: Review | None = None
    """The verdict to be changed, where there is one."""

    @property
    def said(self) -> str:
        """The text that an approval approves."""
        return self.reply.text if self.review is None else original_text(self.reply)


@dataclass(frozen=True, eq=False)
class Queue:
    items: tuple[Item, ...]
    count: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Queue) and self._key() == other._key()

    def _key(self) -> tuple[int, list[tuple[int, str]]]:
        return self.count, [(item.reply.id, item.reply.status) for item in self.items]


async def read_queue(visit: Visit) -> Queue:
    """Those that hold a customer up come first, then the oldest."""
    rows = (
        select(Reply, Turn.text, Conversation.channel, Conversation.customer_name)
        .join(Conversation, Conversation.id == Reply.conversation_id)
        .outerjoin(Turn, Turn.id == Reply.turn_id)
        .where(Reply.needs_review)
        .order_by((Reply.status == ReplyStatus.held).desc(), Reply.created_at, Reply.id)
        .limit(SHOWN)
    )
    count = select(func.count()).select_from(Reply).where(Reply.needs_review)
    async with visit.database.read() as session:
        items = tuple(
            Item(reply, question or "", channel, name)
            for reply, question, channel, name in await session.execute(rows)
        )
        return Queue(items, await session.scalar(count) or 0)
