"""Telegram by long polling: customers write, operators switch, reviewers decide.

    telegram = Telegram(database, knowledge, inbox, token=..., on_reply=outbox.wake)
    channels[telegram.channel.name] = telegram.channel
    await telegram.run()

An update is confirmed to Telegram only when it has been dealt with: one that was not, because the
process was killed, comes again, and the inbox knows it by its message id. That is why updates are
read here and not by python-telegram-bot's updater, which confirms them as soon as they are read.
"""

import asyncio
import logging
from collections.abc import Callable

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from telegram import Bot, Message, Update
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    TelegramError,
)
from telegram.request import HTTPXRequest

from bot.channels.telegram_delivery import TelegramChannel, flood_wait_s
from bot.channels.telegram_held import HeldDrafts
from bot.channels.telegram_operators import answer_operator
from bot.channels.telegram_review import TelegramReview
from bot.channels.telegram_thumbs import take_thumb
from bot.claim import back_off_s
from bot.inbox import Inbox
from bot.message import Message as Inbound
from knowledge import Knowledge
from store import Database

log = structlog.get_logger(__name__)

DEFAULT_BASE_URL = "https://api.telegram.org"
POLL_S = 25
CONFLICT_WAIT_S = 30.0
_WANTED_UPDATES = ["message", "callback_query"]
_AWAY = (TelegramError, OperationalError, InterfaceError, PoolTimeoutError)
"""The network or the store, for a while."""


class TelegramTokenError(Exception):
    """Telegram does not know the token; the message says what to do."""


class Telegram:
    """The channel, and the loops that feed it."""

    def __init__(
        self,
        database: Database,
        knowledge: Knowledge,
        inbox: Inbox,
        *,
        token: str,
        base_url: str = DEFAULT_BASE_URL,
        on_reply: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._inbox = inbox
        self._bot = open_bot(token, base_url)
        self.channel = TelegramChannel(self._bot)
        self._held = HeldDrafts(self._bot, database)
        self._review = TelegramReview(self._bot, database, knowledge, on_reply=on_reply)
        self._offset: int | None = None

    async def run(self) -> None:
        """Read updates until cancelled. Replies can be delivered from before it until `close`.

        Raises:
            TelegramTokenError: Telegram does not know the token.
        """
        name = await self._begin()
        log.info("telegram_is_on", bot=name)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._poll())
            tasks.create_task(self._held.run())

    async def close(self) -> None:
        """After the last delivery."""
        await self._bot.shutdown()

    async def _begin(self) -> str:
        """Wait for Telegram to answer; the bot's name there."""
        attempts = 0
        while True:
            attempts += 1
            try:
                return await check_token(self._bot)
            except TelegramError as error:
                log.warning("telegram_is_away", error=str(error))
                await asyncio.sleep(back_off_s(attempts, first_s=1, most_s=60))

    async def _poll(self) -> None:
        failures = 0
        while True:
            try:
                for update in await self._read():
                    await self._take(update)
                    self._offset = update.update_id + 1
                failures = 0
            except Exception as error:  # nobody would begin it again
                failures += 1
                await asyncio.sleep(_wait_s(error, failures))

    async def _read(self) -> tuple[Update, ...]:
        """The next updates; asking for them confirms those before."""
        return await self._bot.get_updates(
            offset=self._offset, timeout=POLL_S, allowed_updates=_WANTED_UPDATES
        )

    async def _take(self, update: Update) -> None:
        """Deal with one update.

        When the store or the network is away, it waits and comes again. What Telegram refuses,
        or what is our own fault, is logged and skipped, or it would come back for ever.
        """
        try:
            if update.callback_query is not None:
                if not await take_thumb(self._database, update.callback_query):
                    await self._review.press(update.callback_query)
            elif update.message is not None:
                await self._hear(update.message)
        except (BadRequest, Forbidden, ChatMigrated) as error:
            log.warning("update_refused", update_id=update.update_id, error=str(error))
        except _AWAY:
            raise
        except Exception:
            log.exception("update_skipped", update_id=update.update_id)

    async def _hear(self, message: Message) -> None:
        if await self._review.hear(message):
            return
        if await answer_operator(self._database, self._bot, message):
            return
        await self._inbox.receive(as_inbound(message))


def open_bot(token: str, base_url: str = DEFAULT_BASE_URL) -> Bot:
    """A client of the Bot API; nothing is sent yet."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs URLs, and these hold the token
    base_url = base_url.rstrip("/")
    return Bot(
        token,
        base_url=f"{base_url}/bot",
        base_file_url=f"{base_url}/file/bot",
        request=HTTPXRequest(connection_pool_size=32, read_timeout=20, pool_timeout=10),
        get_updates_request=HTTPXRequest(connection_pool_size=1, read_timeout=POLL_S + 10),
    )


async def check_token(bot: Bot) -> str:
    """The bot's @name.

    Raises:
        TelegramTokenError: Telegram does not know the token.
        TelegramError: Telegram does not answer, or wants to be left alone for now.
    """
    try:
        await bot.initialize()
    except InvalidToken:
        raise TelegramTokenError(
            "Telegram refuses NOD_TELEGRAM_TOKEN. Ask @BotFather for /token and set it anew, "
            "or unset it to run without Telegram."
        ) from None  # the library's own message shows the token
    return f"@{bot.username}"


def as_inbound(message: Message) -> Inbound:
    """A Telegram message as the inbox takes it: `/reset@our_bot` is `/reset`."""
    text = message.text or message.caption or ""
    if text.startswith("/"):
        command, blank, rest = text.partition(" ")
        text = command.partition("@")[0] + blank + rest
    return Inbound(
        channel=TelegramChannel.name,
        address=str(message.chat_id),
        text=text,
        delivery_id=f"message-{message.message_id}",
        customer_name=message.from_user.full_name if message.from_user else None,
        attachment=_attachment(message),
    )


def _attachment(message: Message) -> str | None:
    """What was sent instead of text, in a word."""
    kinds = ("photo", "voice", "video", "video_note", "audio", "document", "sticker", "location")
    found = next((kind for kind in (*kinds, "contact", "poll") if getattr(message, kind)), None)
    return found.replace("_", " ") if found else None


def _wait_s(error: Exception, failures: int) -> float:
    """How long to leave it alone after an error."""
    if isinstance(error, Conflict):
        log.error("telegram_conflict", why="another program reads the same bot's updates; stop it")
        return CONFLICT_WAIT_S
    log.warning("updates_not_read", error=type(error).__name__, failures=failures)
    return back_off_s(failures, first_s=0.5, most_s=30) + flood_wait_s(error)
