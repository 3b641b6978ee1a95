"""The outbox: claims replies that are ready, delivers them, and retries what is worth retrying.

A reply is claimed with a lease. One that is found in `sending` after its lease, or after a start
of its owner, may have been taken by the channel or not: it is delivered again, from the first
part that was not written down. So a channel that knows replies by their id sends nothing twice,
and one that does not may repeat the single part that was on its way when the process was killed.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from sqlalchemy import (
    Connection,
    Integer,
    Select,
    and_,
    bindparam,
    exists,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from bot.channel import (
    Channel,
    Outgoing,
    PermanentDeliveryError,
    TransientDeliveryError,
)
from bot.claim import CLAIM_COLUMNS, NOW, after, back_off_s, claim_values, lease_from
from bot.claimer import Claimer
from bot.thumbs import RATED
from store import (
    ChunkKind,
    Conversation,
    Database,
    Executor,
    Reply,
    ReplyStatus,
    Review,
    Verdict,
    Way,
    utc_now,
)

log = structlog.get_logger(__name__)

DELIVERY_TIMEOUT_S = 45.0
"""Below the lease, so that no other process begins while this one may still succeed."""
FIRST_RETRY_S = 1.0
MOST_RETRY_S = 300.0
MOST_ATTEMPTS = 300
"""About a day, at five minutes each."""


Delivery = tuple[Reply, Conversation]


class Outbox(Claimer[Delivery]):
    """Delivers for the channels of this process, and for no others."""

    def __init__(
        self,
        database: Database,
        channels: Mapping[str, Channel],
        *,
        owner: str | None = None,
        concurrency: int = 32,
        on_sent: Callable[[Reply], None] = lambda _reply: None,
    ) -> None:
        super().__init__(owner=owner, concurrency=concurrency)
        self._database = database
        self._channels = channels
        self._on_sent = on_sent

    def claim_new(self, executor: Executor, delivery: Delivery) -> None:
        reply, conversation = delivery
        if reply.status is not ReplyStatus.ready or conversation.channel not in self._channels:
            return
        if self._may_claim() and not executor.scalar(_IS_BEHIND, {"id": conversation.id}):
            reply.status = ReplyStatus.sending
            self._sign(reply)

    async def _claim(self, room: int) -> list[Delivery]:
        if not self._channels:
            return []
        values = {"channels": list(self._channels), "room": room, **claim_values(self._owner)}
        async with self._database.write() as session:
            replies = (await session.scalars(_CLAIM, values)).all()
            if not replies:
                return []
            ids = [reply.conversation_id for reply in replies]
            found = await session.scalars(select(Conversation).where(Conversation.id.in_(ids)))
            by_id = {conversation.id: conversation for conversation in found}
            return [(reply, by_id[reply.conversation_id]) for reply in replies]

    def _row(self, delivery: Delivery) -> Reply:
        return delivery[0]

    async def _do(self, delivery: Delivery) -> None:
        """One attempt, and what comes of it."""
        reply, conversation = delivery
        if reply.attempts > 1 and await self._is_rejected(reply):
            await self._mark(reply, status=ReplyStatus.withdrawn)
            return
        try:
            parts = await self._hand_over(reply, conversation)
        except PermanentDeliveryError as error:
            log.warning("reply_refused", reply_id=reply.id, channel=conversation.channel)
            await self._mark(reply, status=ReplyStatus.failed, error=str(error))
        except TransientDeliveryError as error:
            await self._put_off(reply, str(error), error.retry_after_s or 0.0)
        except TimeoutError:
            await self._put_off(reply, f"not taken within {DELIVERY_TIMEOUT_S:g} s")
        except Exception as error:  # a fault of ours: keep the reply, and try again
            log.exception("reply_not_delivered", reply_id=reply.id)
            await self._put_off(reply, f"{type(error).__name__}: {error}")
        else:
            now = utc_now()
            await self._mark(
                reply, status=ReplyStatus.sent, sent_parts=parts, sent_at=now, error=None
            )
            self._on_sent(reply)

    async def _is_rejected(self, reply: Reply) -> bool:
        """Before another try: while the one before it was on its way, `decide` left it alone."""
        rejected = select(Review.id).where(
            Review.reply_id == reply.id, Review.verdict == Verdict.rejected
        )
        async with self._database.read() as session:
            return await session.scalar(rejected) is not None

    async def _hand_over(self, reply: Reply, conversation: Conversation) -> list[str]:
        sent = list(reply.sent_parts)

        async def note(part: str) -> None:
            sent.append(part)
            await self._mark(reply, ends=False, sent_parts=list(sent))

        outgoing = Outgoing(
            reply_id=reply.id,
            conversation_id=reply.conversation_id,
            address=conversation.address,
            text=reply.text,
            turn_id=reply.turn_id,
            sources=_cited(reply),
            is_rated=reply.way in RATED,
            sent_parts=tuple(sent),
            on_part=note,
        )
        async with asyncio.timeout(DELIVERY_TIMEOUT_S):
            return await self._channels[conversation.channel].deliver(outgoing)

    async def _put_off(self, reply: Reply, why: str, at_least_s: float = 0.0) -> None:
        """Try again later, and after a day never."""
        if reply.attempts >= MOST_ATTEMPTS:
            await self._mark(reply, status=ReplyStatus.failed, error=f"given up: {why}")
            return
        delay_s = back_off_s(reply.attempts, first_s=FIRST_RETRY_S, most_s=MOST_RETRY_S)
        due_at = after(at_least_s + delay_s)
        log.warning("delivery_put_off", reply_id=reply.id, attempts=reply.attempts)
        await self._mark(reply, status=ReplyStatus.ready, due_at=due_at, error=why)

    async def _mark(self, reply: Reply, *, ends: bool = True, **values: object) -> None:
        """Write down how far it came, unless another process has claimed it by now."""
        if ends:
            values |= {"claimed_by": None, "claimed_until": None}
        else:
            values |= {"claimed_until": lease_from(utc_now())}
        await self._database.run_write(
            Connection.execute, _OURS, {**values, "reply_id": reply.id, "owner": self._owner}
        )

    async def _release(self) -> None:
        async with self._database.write() as session:
            await release_claims(session, self._owner)


def _cited(reply: Reply) -> list[dict[str, Any]]:
    """The documents behind a model's answer; an approved reply speaks for itself."""
    if reply.way not in (Way.tuned, Way.retrieval):
        return []
    return [source for source in reply.sources if source.get("kind") == ChunkKind.passage]


async def release_claims(session: AsyncSession, owner: str) -> None:
    """Let go of every reply that an owner holds: it was killed, or it ends now."""
    await session.execute(
        update(Reply)
        .where(_UNSENT, Reply.status == ReplyStatus.sending, Reply.claimed_by == owner)
        .values(status=ReplyStatus.ready, claimed_by=None, claimed_until=None)
    )


# As the partial index has it: SQLite does not use one for bound parameters.
_UNSENT = text("reply.status IN ('ready', 'sending')")

# Statements of every message are made once: to make one costs more than to carry it out.
_IS_BEHIND = select(exists().where(Reply.conversation_id == bindparam("id"), _UNSENT))
_OURS = (
    update(Reply)
    .where(Reply.id == bindparam("reply_id"), Reply.claimed_by == bindparam("owner"))
    .execution_options(synchronize_session=False)
)


def _next_replies() -> Select[int]:
    """The oldest replies to deliver through these channels, no two of one conversation."""
    earlier = aliased(Reply)
    is_first = ~exists().where(
        earlier.conversation_id == Reply.conversation_id,
        earlier.id < Reply.id,
        earlier.status.in_((ReplyStatus.ready, ReplyStatus.sending)),
    )
    is_due = or_(
        and_(Reply.status == ReplyStatus.ready, Reply.due_at <= NOW),
        and_(Reply.status == ReplyStatus.sending, Reply.claimed_until < NOW),
    )
    is_ours = Conversation.channel.in_(bindparam("channels", expanding=True))
    return (
        select(Reply.id)
        .join(Conversation, Conversation.id == Reply.conversation_id)
        .where(_UNSENT, is_due, is_first, is_ours)
        .order_by(Reply.due_at, Reply.id)
        .limit(bindparam("room", type_=Integer))
        .with_for_update(skip_locked=True, of=Reply)
    )


_CLAIM = (
    update(Reply)
    .where(Reply.id.in_(_next_replies()))
    .values(status=ReplyStatus.sending, attempts=Reply.attempts + 1, **CLAIM_COLUMNS)
    .returning(Reply)
    .execution_options(synchronize_session=False)
)
