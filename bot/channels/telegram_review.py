"""Review in Telegram: a held draft goes to every reviewer, with buttons to decide.

How far the announcements have come, and which reviewer is writing an edit, are settings in the
store, so that a restart neither repeats nor forgets them. A button carries the reply's id.
"""

from collections.abc import Callable

import structlog
from sqlalchemy import Select, delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from telegram import (
    Bot,
    CallbackQuery,
    ForceReply,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
)
from telegram.error import BadRequest, Forbidden, TelegramError

from bot.bell import Bell
from bot.channels.telegram_operators import find_user
from bot.review import ReviewError, decide
from knowledge import Knowledge
from store import Database, Reply, ReplyStatus, Setting, Turn, User, UserRole, Verdict

log = structlog.get_logger(__name__)

_ANNOUNCED = "telegram.announced_reply_id"
_EDITING = "telegram.editing.{}"
_SHOWN_CHARS = 1500
"""Of the question and of the draft: both fit into one message."""


class TelegramReview:
    """Announces held replies, and takes the verdicts."""

    def __init__(
        self, bot: Bot, database: Database, knowledge: Knowledge, *, on_reply: Callable[[], None]
    ) -> None:
        self._bot = bot
        self._database = database
        self._knowledge = knowledge
        self._on_reply = on_reply
        self._bell = Bell()

    async def run(self) -> None:
        """Announce what is held, once each, until cancelled."""
        while True:
            try:
                await self._announce()
            except TelegramError as error:
                log.warning("reviewers_not_reached", error=str(error))
            except Exception:
                log.exception("reviewers_not_told")
            await self._bell.wait()

    async def press(self, query: CallbackQuery) -> None:
        """A reviewer pressed a button."""
        action, _, number = (query.data or "").partition(":")
        async with self._database.read() as session:
            user = await find_user(session, query.from_user.id, UserRole.reviewer)
        if user is None or not number.isdigit():
            await _answer(query, "Only reviewers of this shop may decide.")
        elif action == "edit":
            await self._ask_for_edit(query, int(number))
        else:
            verdict = Verdict.approved if action == "approve" else Verdict.rejected
            outcome = await self._decide(int(number), verdict, user)
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
        is_cancelled = message.text.strip() == "/cancel"
        if message.text.startswith("/") and not is_cancelled:
            return False  # a command meant for us is nothing to send to a customer
        outcome = "Left as it was."
        if not is_cancelled:
            outcome = await self._decide(
                int(setting.value), Verdict.edited, user, text=message.text
            )
        async with self._database.write() as session:
            await session.execute(delete(Setting).where(Setting.key == key))
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
            await _put_setting(session, _EDITING.format(query.from_user.id), reply_id)
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

    async def _announce(self) -> None:
        async with self._database.read() as session:
            mark = await session.get(Setting, _ANNOUNCED)
            held = await _held_after(session, int(mark.value) if mark else 0)
            reviewers = (await session.scalars(_reviewers())).all() if held else []
        for reply, question in held:
            for telegram_id in reviewers:
                await self._show(telegram_id or 0, reply, question)
            async with self._database.write() as session:
                await _put_setting(session, _ANNOUNCED, reply.id)

    async def _show(self, telegram_id: int, reply: Reply, question: str | None) -> None:
        asked, drafted = (question or "")[:_SHOWN_CHARS], reply.text[:_SHOWN_CHARS]
        try:
            await self._bot.send_message(
                telegram_id,
                f"Question:\n{asked}\n\nDraft {reply.id}:\n{drafted}\n\n({reply.reason})",
                reply_markup=_buttons(reply.id),
            )
        except (Forbidden, BadRequest) as error:  # never wrote to the bot, or blocked it
            log.warning("reviewer_not_reached", telegram_id=telegram_id, error=str(error))


def _buttons(reply_id: int) -> InlineKeyboardMarkup:
    words = {"approve": "Approve", "edit": "Edit", "reject": "Reject"}
    row = [
        InlineKeyboardButton(word, callback_data=f"{key}:{reply_id}") for key, word in words.items()
    ]
    return InlineKeyboardMarkup([row])


async def _held_after(session: AsyncSession, reply_id: int) -> list[tuple[Reply, str | None]]:
    rows = await session.execute(
        select(Reply, Turn.text)
        .outerjoin(Turn, Turn.id == Reply.turn_id)
        .where(Reply.needs_review, Reply.status == ReplyStatus.held, Reply.id > reply_id)
        .order_by(Reply.id)
        .limit(20)
    )
    return [(reply, text) for reply, text in rows]


async def _answer(query: CallbackQuery, text: str) -> None:
    """End the button's waiting sign; Telegram takes no answer to a press of long ago."""
    try:
        await query.answer(text[:200])
    except BadRequest as error:
        log.info("press_too_old", error=str(error))


async def _put_setting(session: AsyncSession, key: str, value: int) -> None:
    setting = await session.get(Setting, key) or Setting(key=key)
    setting.value, setting.updated_by = value, "telegram"
    session.add(setting)


def _reviewers() -> Select[int | None]:
    """The Telegram accounts of all who may review: every role may."""
    return select(User.telegram_id).where(User.telegram_id.is_not(None), User.disabled_at.is_(None))
