"""Turns in the store: the next one of a conversation, and those before a question."""

from typing import Any

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from bot.claimer import Claimer
from bot.outbox import Delivery
from bot.prompt import Chat, as_history
from store import (
    Conversation,
    Reply,
    ReplyStatus,
    Role,
    Turn,
    Way,
    conversation_id,
    utc_now,
)

HISTORY_TURNS = 40
"""So far at most it is read back; the token budget of the prompt is far below it."""

_SAYS_NOTHING = (Way.notice, Way.unknown)


async def lock_conversation(
    session: AsyncSession, channel: str, address: str, customer_name: str | None = None
) -> Conversation:
    """The conversation at an address, made where there is none, and held until the commit."""
    id_ = conversation_id(channel, address)
    found = (await session.scalars(_LOCKED, {"id": id_})).one_or_none()
    if found is None:
        await _insert_conversation(session, id=id_, channel=channel, address=address)
        found = await lock(session, id_)
    if customer_name:
        found.customer_name = customer_name[:255]
    return found


async def lock(session: AsyncSession, id_: str) -> Conversation:
    """A conversation that there is, held until the commit."""
    return (await session.scalars(_LOCKED, {"id": id_})).one()


# Statements of every message are made once: to make one costs more than to carry it out.
_LOCKED = (
    select(Conversation)
    .where(Conversation.id == bindparam("id"))
    .with_for_update()
    .execution_options(populate_existing=True)
)


async def _insert_conversation(session: AsyncSession, **values: str) -> None:
    """Both databases can leave an insertion out when another process was faster."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    await session.execute(insert(Conversation).values(**values).on_conflict_do_nothing())


def append_turn(
    session: AsyncSession, conversation: Conversation, role: Role, text: str, **values: Any
) -> Turn:
    """The next turn of a conversation, which the caller has locked."""
    conversation.last_seq += 1
    conversation.updated_at = utc_now()
    turn = Turn(
        conversation_id=conversation.id,
        seq=conversation.last_seq,
        role=role,
        text=text,
        **values,
    )
    session.add(turn)
    return turn


async def add_reply(
    session: AsyncSession,
    conversation: Conversation,
    reply: Reply,
    outbox: Claimer[Delivery] | None = None,
) -> Delivery:
    """Store a reply to a conversation that the caller has locked, and its turn if it may go out.

    It is for `outbox.take_over` after the commit.
    """
    delivery = reply, conversation
    may_go = reply.status is ReplyStatus.ready
    if may_go and outbox is not None:
        await outbox.claim_new(session, delivery)
    session.add(reply)
    await session.flush()
    if may_go:
        append_reply_turn(session, conversation, reply)
    return delivery


def append_reply_turn(session: AsyncSession, conversation: Conversation, reply: Reply) -> Turn:
    """What the customer is about to get, as a turn: for a reply that may be delivered."""
    role = Role.person if reply.way is Way.person else Role.bot
    return append_turn(session, conversation, role, reply.text, reply_id=reply.id)


async def read_history(session: AsyncSession, turn: Turn, *, from_seq: int = 0) -> Chat:
    """The exchanges before a customer's turn, as far back as /reset allows.

    An answer stands with its question, also where the customer wrote on before it came. Notices
    and "I don't know" are left out, and with them the questions that they answered.
    """
    if turn.seq <= 1:
        return []
    since = {
        "id": turn.conversation_id,
        "seq": turn.seq,
        "from_seq": from_seq,
        "least": max(from_seq, turn.seq - HISTORY_TURNS),
    }
    return as_history(await session.scalars(_HISTORY, since))


def _history() -> Select[Turn]:
    asked = aliased(Turn)
    place = func.coalesce(asked.seq, Turn.seq)
    return (
        select(Turn)
        .outerjoin(Reply, Reply.id == Turn.reply_id)
        .outerjoin(asked, asked.id == Reply.turn_id)
        .where(
            Turn.conversation_id == bindparam("id"),
            Turn.seq >= bindparam("least"),
            place < bindparam("seq"),
            place >= bindparam("from_seq"),
            Reply.way.is_(None) | Reply.way.not_in(_SAYS_NOTHING),
        )
        .order_by(place, Turn.seq)
    )


_HISTORY = _history()
