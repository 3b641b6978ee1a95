"""The inbox: stores a message as a turn, once, and returns at once."""

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.message import Message
from bot.phrases import Phrase
from bot.turns import append_reply_turn, append_turn, lock_conversation
from store import Conversation, Database, Reply, ReplyStatus, Role, Turn, TurnState, Way
from store.text import clean_text

MAX_TEXT_CHARS = 8_000
"""A longer message is refused politely, and its first 8,000 characters are kept."""

RESET = "/reset"
_COMMANDS = {RESET: Phrase.reset, "/start": Phrase.welcome, "/help": Phrase.help}


def _nobody_waits() -> None:
    """Where no worker runs in this process: another one finds the turn by looking."""


class Inbox:
    """`on_turn` wakes who answers, `on_reply` who delivers; both are told after the commit."""

    def __init__(
        self,
        database: Database,
        *,
        on_turn: Callable[[], None] = _nobody_waits,
        on_reply: Callable[[], None] = _nobody_waits,
    ) -> None:
        self._database = database
        self._on_turn = on_turn
        self._on_reply = on_reply

    async def receive(self, message: Message) -> Turn | None:
        """Store a message; none when this delivery was stored before.

        What cannot be answered gets a fixed reply instead: no text, an attachment, too much
        text, `/start`, `/help`, and `/reset`, which puts aside what was said. While a person has
        taken the conversation over, messages are stored and nothing else happens.
        """
        message = replace(message, text=clean_text(message.text))
        async with self._database.write() as session:
            conversation = await lock_conversation(
                session, message.channel, message.address, message.customer_name
            )
            if await _is_known(session, conversation, message.delivery_id):
                return None
            turn = await self._store(session, conversation, message)
        if turn.state is TurnState.waiting:
            self._on_turn()
        else:
            self._on_reply()
        return turn

    async def _store(
        self, session: AsyncSession, conversation: Conversation, message: Message
    ) -> Turn:
        is_taken_over = conversation.taken_over_at is not None
        answer = None if is_taken_over else _fixed_reply(message)
        waits = answer is None and not is_taken_over
        turn = append_turn(
            session,
            conversation,
            Role.customer,
            _as_stored(message),
            delivery_id=message.delivery_id,
            state=TurnState.waiting if waits else TurnState.answered,
        )
        if _is_reset(message):
            conversation.context_from_seq = turn.seq + 1
        await session.flush()
        if answer is not None:
            await _reply_at_once(session, conversation, turn, answer)
        return turn


async def _is_known(
    session: AsyncSession, conversation: Conversation, delivery_id: str | None
) -> bool:
    if delivery_id is None:
        return False
    same = select(Turn.id).where(
        Turn.conversation_id == conversation.id, Turn.delivery_id == delivery_id
    )
    return await session.scalar(same) is not None


async def _reply_at_once(
    session: AsyncSession, conversation: Conversation, turn: Turn, text: str
) -> None:
    reply = Reply(
        conversation_id=conversation.id,
        turn_id=turn.id,
        text=text,
        status=ReplyStatus.ready,
        way=Way.notice,
        reason="notice: a fixed text",
    )
    session.add(reply)
    await session.flush()
    append_reply_turn(session, conversation, reply)


def _fixed_reply(message: Message) -> str | None:
    """The reply to what no model is asked about."""
    text = message.text.strip()
    if command := _COMMANDS.get(text.casefold()):
        return command.like(message.customer_name or "")
    if len(message.text) > MAX_TEXT_CHARS:
        return Phrase.too_long.like(text, length=len(message.text), limit=MAX_TEXT_CHARS)
    if not text and message.attachment:
        return Phrase.attachment.like(message.attachment, attachment=message.attachment)
    return None if text else Phrase.empty.like("")


def _is_reset(message: Message) -> bool:
    return message.text.strip().casefold() == RESET


def _as_stored(message: Message) -> str:
    """The text; for an attachment without any, what it was."""
    return message.text[:MAX_TEXT_CHARS] or (
        f"[{message.attachment}]" if message.attachment else ""
    )
