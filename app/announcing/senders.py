"""The announcer with the ways that the settings set up."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from telegram.error import TelegramError

from app.announcing import Announcer, Sender
from app.announcing.by_email import EmailSender
from app.announcing.by_telegram import TelegramSender
from app.announcing.by_webhook import WebhookSender
from app.settings import Settings
from bot.channels.telegram import open_bot
from store import Database, Via

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_announcer(settings: Settings, database: Database) -> AsyncIterator[Announcer]:
    """Rows for a way that is not set up wait until it is."""
    secret = settings.announce_webhook_secret
    senders: dict[Via, Sender] = {
        Via.webhook: WebhookSender(secret.get_secret_value() if secret else None)
    }
    if settings.smtp_url is not None:
        senders[Via.email] = EmailSender(settings.smtp_url.get_secret_value(), settings.smtp_from)
    if settings.telegram_token is None:
        yield Announcer(database, senders)
        return
    bot = open_bot(settings.telegram_token.get_secret_value(), settings.telegram_base_url)
    senders[Via.telegram] = TelegramSender(bot)
    try:
        yield Announcer(database, senders)
    finally:
        try:
            await bot.shutdown()
        except TelegramError as error:
            log.info("bot_not_closed", error=str(error))
