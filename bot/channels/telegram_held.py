"""Held drafts in Telegram: each goes to every reviewer, once, with buttons to decide.

That they were told is written to the reply, so that a restart neither repeats nor forgets it, and
a draft that is held again is told again.
"""

import asyncio

import structlog
from sqlalchemy import Select, select, update
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup
from telegram.error import BadRequest, Forbidden, TelegramError

from bot.bell import Bell
from bot.channels.telegram_delivery import flood_wait_s
from store import Database, Reply, ReplyStatus, Turn, User, utc_now

log = structlog.get_logger(__name__)

_SHOWN_CHARS = 1500
"""Of the question and of the draft: both fit into one message."""
_AT_ONCE = 20
_WORDS = {"approve": "Approve", "edit": "Edit", "reject": "Reject"}


class HeldDrafts:
    """Tells the reviewers of every draft that waits for them."""

    def __init__(self, bot: Bot, database: Database) -> None:
        self._bot = bot
        self._database = database
        self._bell = Bell()

    async def run(self) -> None:
        """Announce what is held, until cancelled."""
        while True:
            try:
                await self._announce()
            except TelegramError as error:
                log.warning("reviewers_not_reached", error=str(error))
                await asyncio.sleep(flood_wait_s(error))
            except Exception:  # nobody would begin it again
                log.exception("reviewers_not_told")
            await self._bell.wait()

    async def _announce(self) -> None:
        async with self._database.read() as session:
            reviewers = (await session.scalars(_REVIEWERS)).all()
            held = (await session.execute(_HELD)).all() if reviewers else []
        for reply, question in held:
            for telegram_id in reviewers:
                await self._show(telegram_id or 0, reply, question)
            async with self._database.write() as session:
                told = update(Reply).where(Reply.id == reply.id)
                await session.execute(told.values(announced_at=utc_now()))

    async def _show(self, telegram_id: int, reply: Reply, question: str | None) -> None:
        asked, drafted = (question or "")[:_SHOWN_CHARS], reply.text[:_SHOWN_CHARS]
        try:
            await self._bot.send_message(
                telegram_id,
                f"Question:\n{asked}\n\nDraft {reply.id}:\n{drafted}\n\n({reply.reason})",
                reply_markup=_buttons(reply),
            )
        except (Forbidden, BadRequest) as error:  # never wrote to the bot, or blocked it
            log.warning("reviewer_not_reached", telegram_id=telegram_id, error=str(error))


def _buttons(reply: Reply) -> InlineKeyboardMarkup:
    row = [
        InlineKeyboardButton(word, callback_data=f"{action}:{reply.id}:{stamp(reply)}")
        for action, word in _WORDS.items()
    ]
    return InlineKeyboardMarkup([row])


def stamp(reply: Reply) -> int:
    """Tells a reply from another one with its id: in a database that came back from a backup."""
    return int(reply.created_at.timestamp())


_HELD = (
    select(Reply, Turn.text)
    .outerjoin(Turn, Turn.id == Reply.turn_id)
    .where(Reply.needs_review, Reply.status == ReplyStatus.held, Reply.announced_at.is_(None))
    .order_by(Reply.created_at, Reply.id)
    .limit(_AT_ONCE)
)
_REVIEWERS: Select[int | None] = select(User.telegram_id).where(
    User.telegram_id.is_not(None),
    User.disabled_at.is_(None),  # every role may review
)
