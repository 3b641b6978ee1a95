"""The inbox: stores a message as a turn, once, and returns at once."""

from dataclasses import replace

from sqlalchemy import Connection, bindparam, exists, select

from bot.claimer import Claimer
from bot.forgetting import CUSTOMER, ask_to_forget
from bot.message import Message
from bot.outbox import Delivery
from bot.phrases import Phrase
from bot.turns import add_reply, change_conversation, lock_conversation, next_seq
from store import Conversation, Database, Reply, ReplyStatus, Role, Turn, TurnState, Way, insert
from store.text import clean_text
from store.whole import see_through

MAX_TEXT_CHARS = 8_000
"""A longer message is refused politely, and its first 8,000 characters are kept."""

_TO_ANSWER = (TurnState.waiting, TurnState.answering)
RESET, FORGET = "/reset", "/forget"
_ALONE = {RESET: Phrase.reset, FORGET: Phrase.forget}
"""Commands that undo something: only where the message says nothing else."""
_FIRST_WORDS = {"/start": Phrase.welcome, "/help": Phrase.help}
"""Telegram's links into a chat send `/start` with a word behind it."""


class Inbox:
    """Hands what it stored to who answers and who delivers in this process, after the commit."""

    def __init__(
        self,
        database: Database,
        *,
        worker: Claimer[Turn] | None = None,
        outbox: Claimer[Delivery] | None = None,
    ) -> None:
        self._database = database
        self._worker = worker
        self._outbox = outbox

    async def receive(self, message: Message) -> Turn | None:
        """Store a message; none when this delivery was stored before.

        What cannot be answered gets a fixed reply instead: no text, an attachment, too much
        text, `/start`, `/help`, `/reset`, which puts aside what was said, and `/forget`, which
        has it deleted. While a person has taken the conversation over, messages are stored and
        nothing else happens, but for `/forget`.
        """
        # Broken off after the commit, what was claimed would lie there until its lease runs out.
        return await see_through(self._receive(message))

    async def _receive(self, message: Message) -> Turn | None:
        message = replace(message, text=clean_text(message.text))
        stored = await self._database.run_write(self._store_once, message)
        if stored is None:
            return None
        turn, delivery = stored
        if delivery is not None and self._outbox is not None:
            self._outbox.take_over(delivery)
        if turn.state in _TO_ANSWER and self._worker is not None:
            self._worker.take_over(turn)
        return turn

    def _store_once(
        self, connection: Connection, message: Message
    ) -> tuple[Turn, Delivery | None] | None:
        conversation = lock_conversation(
            connection, message.channel, message.address, message.customer_name
        )
        if _is_known(connection, conversation, message.delivery_id):
            return None
        return self._store(connection, conversation, message)

    def _store(
        self, connection: Connection, conversation: Conversation, message: Message
    ) -> tuple[Turn, Delivery | None]:
        is_taken_over = conversation.taken_over_at is not None
        is_forget = _is(FORGET, message)
        answer = None if is_taken_over and not is_forget else _fixed_reply(message)
        waits = answer is None and not is_taken_over
        turn = Turn(
            conversation_id=conversation.id,
            seq=next_seq(connection, conversation.id),
            role=Role.customer,
            text=_as_stored(message),
            delivery_id=message.delivery_id,
            state=TurnState.waiting if waits else TurnState.answered,
        )
        if self._worker is not None:
            self._worker.claim_new(connection, turn)
        insert(connection, turn)
        if is_forget or _is(RESET, message):
            change_conversation(connection, conversation.id, context_from_seq=turn.seq + 1)
        if is_forget:
            ask_to_forget(connection, conversation.id, CUSTOMER, turn.seq)
        if answer is None:
            return turn, None
        reply = _at_once(turn, answer)
        return turn, add_reply(connection, conversation, reply, self._outbox)


def _is_known(connection: Connection, conversation: Conversation, delivery_id: str | None) -> bool:
    if delivery_id is None:
        return False
    same = {"id": conversation.id, "delivery_id_": delivery_id}
    return bool(connection.scalar(_IS_KNOWN, same))


# Statements of every message are made once: to make one costs more than to carry it out.
_IS_KNOWN = select(
    exists().where(
        Turn.conversation_id == bindparam("id"), Turn.delivery_id == bindparam("delivery_id_")
    )
)


def _at_once(turn: Turn, text: str) -> Reply:
    return Reply(
        conversation_id=turn.conversation_id,
        turn_id=turn.id,
        text=text,
        status=ReplyStatus.ready,
        way=Way.notice,
        reason="notice: a fixed text",
    )


def _fixed_reply(message: Message) -> str | None:
    """The reply to what no model is asked about."""
    text = message.text.strip()
    if command := _command(text.casefold()):
        return command.like(message.customer_name or "")
    if len(message.text) > MAX_TEXT_CHARS:
        return Phrase.too_long.like(text, length=len(message.text), limit=MAX_TEXT_CHARS)
    if not text and message.attachment:
        return Phrase.attachment.like(message.attachment, attachment=message.attachment)
    return None if text else Phrase.empty.like("")


def _command(text: str) -> Phrase | None:
    first = text.split(maxsplit=1)[:1]
    return _ALONE.get(text) or (_FIRST_WORDS.get(first[0]) if first else None)


def _is(command: str, message: Message) -> bool:
    return message.text.strip().casefold() == command


def _as_stored(message: Message) -> str:
    """The text; for an attachment without any, what it was."""
    return message.text[:MAX_TEXT_CHARS] or (
        f"[{message.attachment}]" if message.attachment else ""
    )
