"""Review in Telegram: the buttons under a held draft, and a reviewer's next message as its edit.

Which reviewer is writing an edit is a setting in the store, so that a restart does not forget it.
It also keeps which message the edit was: Telegram may deliver that one again, and a reviewer's
words for a customer must never come back as a question of their own.
"""

from collections.abc import Callable, Mapping

import structlog
from sqlalchemy.ext.asyncio import AsyncSession
from telegram import Bot, CallbackQuery, ForceReply, Message
from telegram.error import BadRequest

from bot.channels.telegram_held import stamp
from bot.channels.telegram_operators import find_user
from bot.review import ReviewError, decide
from knowledge import Knowledge
from store import Database, Reply, Setting, User, UserRole, Verdict

log = structlog.get_logger(__name__)

_EDITING = "telegram.editing.{}"
_ACTIONS = ("approve", "edit", "reject")
_OLD_BUTTON = "This draft is gone: look into the console."


class TelegramReview:
    """Takes the verdicts."""

    def __init__(
        self, bot: Bot, database: Database, knowledge: Knowledge, *, on_reply: Callable[[], None]
    ) -> None:
        self._bot = bot
        self._database = database
        self._knowledge = knowledge
        self._on_reply = on_reply

    async def press(self, query: CallbackQuery) -> None:
        """A reviewer pressed a button."""
        action, _, named = (query.data or "").partition(":")
        async with self._database.read() as session:
            user = await find_user(session, query.from_user.id, UserRole.reviewer)
            reply_id = await _read_name(session, named)
        if user is None or action not in _ACTIONS:
            await _answer(query, "Only reviewers of this shop may decide.")
        elif reply_id is None:
            await _answer(query, _OLD_BUTTON)
        elif action == "edit":
            await self._ask_for_edit(query, reply_id)
        else:
            verdict = Verdict.approved if action == "approve" else Verdict.rejected
            outcome = await self._decide(reply_id, verdict, user)
            await _answer(query, outcome)
            await self._note_outcome(query, outcome)

    async def hear(self, message: Message) -> bool:
        """Take a reviewer's next message as the edit that they announced; whether it was one."""
        if message.from_user is None or message.chat_id != message.from_user.id:
            return False
        key = _EDITING.format(message.from_user.id)
        async with self._database.read() as session:
            setting = await session.get(Setting, key)
            user = await find_user(session, message.from_user.id, UserRole.reviewer)
        if setting is None or user is None or not message.text:
            return False
        if not _is_edit(message, message.text, setting.value):
            return False
        outcome = "Left as it was."
        if message.text.strip() != "/cancel":
            reply_id = int(setting.value["reply_id"])
            outcome = await self._decide(reply_id, Verdict.edited, user, text=message.text)
        async with self._database.write() as session:
            taken = {**setting.value, "message_id": message.message_id}
            await _put_setting(session, key, taken)
        await self._bot.send_message(message.chat_id, outcome)
        return True

    async def _decide(
        self, reply_id: int, verdict: Verdict, user: User, *, text: str | None = None
    ) -> str:
        """What to tell the reviewer."""
        try:
            await decide(
                self._database,
                self._knowledge,
                reply_id,
                verdict,
                text=text,
                reviewer=user.name,
            )
        except ReviewError as error:
            return f"{error}."
        self._on_reply()
        return f"Reply {reply_id}: {verdict}."

    async def _ask_for_edit(self, query: CallbackQuery, reply_id: int) -> None:
        async with self._database.write() as session:
            await _put_setting(session, _EDITING.format(query.from_user.id), {"reply_id": reply_id})
        await _answer(query, "")
        await self._bot.send_message(
            query.from_user.id,
            f"Your next message goes to the customer as reply {reply_id}. /cancel leaves it.",
            reply_markup=ForceReply(),
        )

    async def _note_outcome(self, query: CallbackQuery, outcome: str) -> None:
        """Take the buttons away, so that nobody decides twice."""
        message = query.message
        if not isinstance(message, Message):  # too old for Telegram to say more of it
            return
        try:
            await message.edit_text(f"{message.text or ''}\n\n{outcome}"[:4096])
        except BadRequest as error:
            log.info("buttons_stay", error=str(error))


async def _read_name(session: AsyncSession, named: str) -> int | None:
    """The id of the reply that a button names, `12:1764160000`, if it is still that one."""
    number, _, stamped = named.partition(":")
    reply = await session.get(Reply, int(number)) if number.isdecimal() else None
    return reply.id if reply is not None and stamped == str(stamp(reply)) else None


def _is_edit(message: Message, text: str, editing: Mapping[str, int]) -> bool:
    """Whether it is the message that the reviewer was asked for, or that one once more."""
    if "message_id" in editing:
        return editing["message_id"] == message.message_id
    # Another command meant for us is nothing to send to a customer.
    return not text.startswith("/") or text.strip() == "/cancel"


async def _answer(query: CallbackQuery, text: str) -> None:
    """End the button's waiting sign; Telegram takes no answer to a press of long ago."""
    try:
        await query.answer(text[:200])
    except BadRequest as error:
        log.info("press_too_old", error=str(error))


async def _put_setting(session: AsyncSession, key: str, value: dict[str, int]) -> None:
    setting = await session.get(Setting, key) or Setting(key=key)
    setting.value, setting.updated_by = value, "telegram"
    session.add(setting)
