"""Turns in the store: the next one of a conversation, and those before a question.

As parts of a transaction they wait for nobody: see `Database.run_write`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, bindparam, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased

from bot.claimer import Claimer
from bot.outbox import Delivery
from bot.prompt import Chat, as_history
from store import (
    Conversation,
    Executor,
    Reply,
    ReplyStatus,
    Role,
    Turn,
    Way,
    conversation_id,
    fetch,
    insert,
    utc_now,
)
from store.core import columns_of

HISTORY_TURNS = 40
"""So far at most it is read back; the token budget of the prompt is far below it."""

CONVERSATIONS_AT_ONCE = 200

_SAYS_NOTHING = (Way.notice, Way.unknown)


def lock_conversation(
    executor: Executor, channel: str, address: str, customer_name: str | None = None
) -> Conversation:
    """The conversation at an address, made where there is none, and held until the commit."""
    id_ = conversation_id(channel, address)
    found = _locked(executor, id_)
    if found is None:
        _insert_conversation(executor, id=id_, channel=channel, address=address)
        found = lock(executor, id_)
    name = (customer_name or "")[:255]
    if name and name != found.customer_name:
        change_conversation(executor, id_, customer_name=name)
    return found


def lock(executor: Executor, id_: str) -> Conversation:
    """A conversation that there is, held until the commit.

    It belongs to no session: `change_conversation` changes it.
    """
    found = _locked(executor, id_)
    if found is None:
        raise LookupError(f"there is no conversation {id_}")
    return found


def _locked(executor: Executor, id_: str) -> Conversation | None:
    found = fetch(executor, Conversation, _LOCKED, {"id": id_})
    return found[0] if found else None


# Statements of every message are made once: to make one costs more than to carry it out.
_LOCKED = columns_of(Conversation).where(Conversation.id == bindparam("id")).with_for_update()


def change_conversation(executor: Executor, id_: str, **values: object) -> None:
    """Change columns of a conversation."""
    executor.execute(
        update(Conversation)
        .where(Conversation.id == id_)
        .values(values)
        .execution_options(synchronize_session=False)
    )


def _insert_conversation(executor: Executor, **values: str) -> None:
    """Both databases can leave an insertion out when another process was faster."""
    insert = sqlite.insert if _is_sqlite(executor) else postgresql.insert
    executor.execute(insert(Conversation).values(**values).on_conflict_do_nothing())


def _is_sqlite(executor: Executor) -> bool:
    bound = executor.get_bind() if isinstance(executor, Session) else executor
    return bound.dialect.name == "sqlite"


def next_seq(executor: Executor, conversation_id: str) -> int:
    """The place of the next turn, which is taken with it."""
    values = {"id_": conversation_id, "now": utc_now()}
    return int(executor.execute(_NEXT_SEQ, values).scalar_one())


_NEXT_SEQ = (
    update(Conversation)
    .where(Conversation.id == bindparam("id_"))
    .values(last_seq=Conversation.last_seq + 1, updated_at=bindparam("now"))
    .returning(Conversation.last_seq)
    .execution_options(synchronize_session=False)
)


def append_turn(
    executor: Executor, conversation_id: str, role: Role, text: str, **values: Any
) -> Turn:
    """The next turn of a conversation."""
    seq = next_seq(executor, conversation_id)
    turn = Turn(conversation_id=conversation_id, seq=seq, role=role, text=text, **values)
    insert(executor, turn)
    return turn


def add_reply(
    executor: Executor,
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
        outbox.claim_new(executor, delivery)
    insert(executor, reply)
    if may_go:
        append_reply_turn(executor, reply)
    return delivery


def append_reply_turn(executor: Executor, reply: Reply) -> Turn:
    """What the customer is about to get, as a turn: for a reply that may be delivered."""
    role = Role.person if reply.way is Way.person else Role.bot
    return append_turn(executor, reply.conversation_id, role, reply.text, reply_id=reply.id)


def read_history(executor: Executor, turn: Turn, *, from_seq: int = 0) -> Chat:
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
        "least": _least(turn, from_seq),
    }
    return as_history(executor.execute(_HISTORY, since))


def read_histories(executor: Executor, asked: Sequence[tuple[Turn, int]]) -> list[Chat]:
    """What `read_history` gives for each turn and `from_seq`, read many conversations at a time."""
    ids = sorted({turn.conversation_id for turn, _ in asked})
    said: dict[str, list[_Said]] = {id_: [] for id_ in ids}
    for start in range(0, len(ids), CONVERSATIONS_AT_ONCE):
        part = {"ids": ids[start : start + CONVERSATIONS_AT_ONCE]}
        for id_, *rest in executor.execute(_ALL_SAID, part):
            said[id_].append(_Said(*rest))
    return [
        as_history(
            (each.role, each.text)
            for each in said[turn.conversation_id]
            if from_seq <= each.place < turn.seq and each.seq >= _least(turn, from_seq)
        )
        for turn, from_seq in asked
    ]


class _Said(NamedTuple):
    """A turn; an answer's place is where its question stands."""

    place: int
    seq: int
    role: Role
    text: str


def _least(turn: Turn, from_seq: int) -> int:
    return max(from_seq, turn.seq - HISTORY_TURNS)


_asked = aliased(Turn)
_place: ColumnElement[int] = func.coalesce(_asked.seq, Turn.seq)


def _joined(*columns: Any) -> Select[*tuple[Any, ...]]:
    return (
        select(*columns)
        .outerjoin(Reply, Reply.id == Turn.reply_id)
        .outerjoin(_asked, _asked.id == Reply.turn_id)
        .where(Reply.way.is_(None) | Reply.way.not_in(_SAYS_NOTHING))
        .order_by(_place, Turn.seq)
    )


_HISTORY = _joined(Turn.role, Turn.text).where(
    Turn.conversation_id == bindparam("id"),
    Turn.seq >= bindparam("least"),
    _place < bindparam("seq"),
    _place >= bindparam("from_seq"),
)
_ALL_SAID = _joined(Turn.conversation_id, _place, Turn.seq, Turn.role, Turn.text).where(
    Turn.conversation_id.in_(bindparam("ids", expanding=True))
)
