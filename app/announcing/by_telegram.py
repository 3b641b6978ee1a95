"""Announcements by Telegram, to operators whose account is linked."""

from telegram import Bot
from telegram.error import BadRequest

from app.announcing import NotSentError
from bot.channel import PermanentDeliveryError, TransientDeliveryError
from bot.channels.telegram_delivery import refusals_explained
from store import Announcement

MOST_CHARS, MOST_CAPTION = 4096, 1024
"""Telegram's limits for a message and for the words under a picture."""


class TelegramSender:
    """Writes as the shop's bot."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot

    async def send(self, announcement: Announcement, picture: bytes | None) -> None:
        try:
            with refusals_explained():
                await self._send(int(announcement.recipient), announcement.text, picture)
        except PermanentDeliveryError as error:
            raise NotSentError(str(error), is_permanent=True) from error
        except TransientDeliveryError as error:
            raise NotSentError(str(error), retry_after_s=error.retry_after_s) from error

    async def _send(self, chat_id: int, text: str, picture: bytes | None) -> None:
        if picture is not None:
            try:
                await self._bot.send_photo(chat_id, picture, caption=_cut(text, MOST_CAPTION))
                return
            except BadRequest as error:
                if "chat" in error.message.lower():  # not found: it will take no text either
                    raise
        await self._bot.send_message(chat_id, _cut(text, MOST_CHARS))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
