"""The view: what a chat page shows of its conversation, as it stands in the rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, and_, bindparam, exists, select

from bot.channels.web_thumbs import show_thumb
from store import ChunkKind, Conversation, Database, Reply, ReplyStatus, Thumb, Turn, TurnState, Way

HISTORY_TURNS = 200


@dataclass(frozen=True, kw_only=True)
class Sign:
    """What the customer is shown beside the turns."""

    last_seq: int = 0
    fresh_from_seq: int = 0
    """The bot remembers nothing before this turn."""
    is_typing: bool = False
    is_held: bool = False
    """An answer waits for a person's verdict."""
    with_person: bool = False


@dataclass(frozen=True, kw_only=True)
class View:
    """The newest turns, oldest first, as the page shows them, and the sign."""

    sign: Sign = field(default_factory=Sign)
    turns: Sequence[Mapping[str, Any]] = ()


async def read_view(database: Database, conversation_id: str, after: int) -> View:
    """The turns after a seq; of a conversation that does not exist yet an empty view."""
    rows = await database.fetch_all(_VIEW, {"id": conversation_id, "after": after})
    if not rows:
        return View()
    turns = [_turn(row) for row in reversed(rows) if row.seq is not None]
    return View(sign=_sign(rows[0]), turns=turns)


async def read_signs(database: Database, conversation_ids: Sequence[str]) -> dict[str, Sign]:
    """The sign of each conversation; one that does not exist yet has the empty sign."""
    rows = await database.fetch_all(_SIGNS, {"ids": list(conversation_ids)})
    signs = {row.id: _sign(row) for row in rows}
    return {id_: signs.get(id_, Sign()) for id_ in conversation_ids}


def _sign(row: Row[*tuple[Any, ...]]) -> Sign:
    with_person = row.taken_over_at is not None
    return Sign(
        last_seq=row.last_seq,
        fresh_from_seq=row.context_from_seq,
        is_typing=row.is_open and not with_person,
        is_held=row.is_held,
        with_person=with_person,
    )


def _turn(row: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "id": row.delivery_id,
        "role": row.role.value,
        "text": row.text,
        "at": row.created_at.isoformat(),
        "sources": _titles(row.way, row.sources),
        **show_thumb(row.way, row.is_up),
    }


def _titles(way: Way | None, sources: Sequence[Mapping[str, Any]]) -> list[str]:
    """What an answer rests on, by title: paths on our disk are nobody's business.

    A pair is no source to a customer: "Approved replies" says nothing to one.
    """
    if way not in (Way.tuned, Way.retrieval):
        return []
    passages = (source for source in sources if source.get("kind") != ChunkKind.pair)
    titles = (str(source.get("title") or "") for source in passages)
    return list(dict.fromkeys(title for title in titles if title))[:3]


# Statements of every message are made once: to make one costs more than to carry it out.
_OF_SIGN = (
    Conversation.id,
    Conversation.last_seq,
    Conversation.context_from_seq,
    Conversation.taken_over_at,
    exists()
    .where(
        Turn.conversation_id == Conversation.id,
        Turn.state.in_((TurnState.waiting, TurnState.answering)),
    )
    .correlate(Conversation)
    .label("is_open"),
    exists()
    .where(Reply.conversation_id == Conversation.id, Reply.status == ReplyStatus.held)
    .correlate(Conversation)
    .label("is_held"),
)
_OF_TURN = (
    Turn.seq,
    Turn.delivery_id,
    Turn.role,
    Turn.text,
    Turn.created_at,
    Reply.way,
    Reply.sources,
    Thumb.is_up,
)
_SIGNS = select(*_OF_SIGN).where(Conversation.id.in_(bindparam("ids", expanding=True)))
_VIEW = (
    select(*_OF_SIGN, *_OF_TURN)
    .select_from(Conversation)
    .outerjoin(Turn, and_(Turn.conversation_id == Conversation.id, Turn.seq > bindparam("after")))
    .outerjoin(Reply, Reply.id == Turn.reply_id)
    .outerjoin(Thumb, Thumb.reply_id == Turn.reply_id)
    .where(Conversation.id == bindparam("id"))
    .order_by(Turn.seq.desc())
    .limit(HISTORY_TURNS)
)
