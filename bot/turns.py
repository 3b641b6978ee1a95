"""Turns in the store: the next one of a conversation, and those before a question."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from bot.prompt import Chat, as_history
from store import Conversation, Reply, Role, Turn, Way, conversation_id, utc_now

HISTORY_TURNS = 40
"""So far at most it is read back; the token budget of the prompt is far below it."""

_SAYS_NOTHING = (Way.notice, Way.unknown)


async def lock_conversation(
    session: AsyncSession, channel: str, address: str, customer_name: str | None = None
) -> Conversation:
    """The conversation at an address, made where there is none, and held until the commit."""
    id_ = conversation_id(channel, address)
    found = await session.get(Conversation, id_, with_for_update=True)
    if found is None:
        await _insert_conversation(session, id=id_, channel=channel, address=address)
        found = await session.get_one(Conversation, id_, with_for_update=True)
    if customer_name:
        found.customer_name = customer_name[:255]
    return found


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
    asked = aliased(Turn)
    place = func.coalesce(asked.seq, Turn.seq)
    rows = await session.scalars(
        select(Turn)
        .outerjoin(Reply, Reply.id == Turn.reply_id)
        .outerjoin(asked, asked.id == Reply.turn_id)
        .where(
            Turn.conversation_id == turn.conversation_id,
            Turn.seq >= max(from_seq, turn.seq - HISTORY_TURNS),
            place < turn.seq,
            place >= from_seq,
            Reply.way.is_(None) | Reply.way.not_in(_SAYS_NOTHING),
        )
        .order_by(place, Turn.seq)
    )
    return as_history(rows)
