"""The way of a reply to Telegram, and what Telegram's refusals mean."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from telegram import Bot, InlineKeyboardMarkup, MessageEntity
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Forbidden,
    NetworkError,
    RetryAfter,
    TelegramError,
)

from bot.channel import Outgoing, PermanentDeliveryError, TransientDeliveryError
from bot.channels.telegram_preview import TelegramPreview
from bot.channels.telegram_text import as_parts
from bot.channels.telegram_thumbs import thumb_buttons

_MOST_PREVIEWS = 1000
"""Those of answers that nobody ever sends, because they are rejected, end here."""


class TelegramChannel:
    """Customers in Telegram. The address is the chat's id."""

    name = "telegram"

    def __init__(self, bot: Bot) -> None:
        self._bot = bot
        self._previews: dict[tuple[str, int], TelegramPreview] = {}
        """The oldest first."""

    def preview(self, address: str, turn_id: int) -> TelegramPreview:
        """The same one again for a turn that was put off: its message is still there."""
        key = address, turn_id
        if key not in self._previews:
            self._previews[key] = TelegramPreview(self._bot, int(address), turn_id)
            if len(self._previews) > _MOST_PREVIEWS:
                self._previews.pop(next(iter(self._previews)))
        return self._previews[key]

    async def deliver(self, outgoing: Outgoing) -> list[str]:
        """Send what has not been sent yet; the ids of all messages.

        Telegram knows no reply by an id of ours: a message that was taken in the very moment of
        a crash or a lost connection is sent again.
        """
        key = outgoing.address, outgoing.turn_id or 0
        preview = self._previews.get(key)
        replaces = await preview.end() if preview else None
        parts = as_parts(outgoing.text + _cite(outgoing))
        sent = list(outgoing.sent_parts)
        for place in range(len(sent), len(parts)):
            text, entities = parts[place]
            edits = replaces if place == 0 else None
            is_last = place == len(parts) - 1
            buttons = thumb_buttons(outgoing) if is_last else None
            with refusals_explained():
                sent.append(await self._put(int(outgoing.address), text, entities, edits, buttons))
            if not is_last:
                await outgoing.on_part(sent[-1])
        self._previews.pop(key, None)  # not before: another try still has to replace it
        return sent

    async def _put(
        self,
        chat_id: int,
        text: str,
        entities: Sequence[MessageEntity],
        edits: int | None,
        buttons: InlineKeyboardMarkup | None,
    ) -> str:
        """Send a message, or turn the preview into it."""
        if edits is None:
            message = await self._bot.send_message(
                chat_id, text, entities=entities, reply_markup=buttons
            )
            return str(message.message_id)
        try:
            await self._bot.edit_message_text(
                text, chat_id, edits, entities=entities, reply_markup=buttons
            )
        except BadRequest as error:
            if "not modified" not in error.message.lower():  # the preview was deleted, or is old
                return await self._put(chat_id, text, entities, None, buttons)
        return str(edits)


@contextmanager
def refusals_explained() -> Iterator[None]:
    """Telegram's errors as the outbox knows them."""
    try:
        yield
    except RetryAfter as error:
        raise TransientDeliveryError(str(error), retry_after_s=flood_wait_s(error)) from error
    except (Forbidden, ChatMigrated, BadRequest) as error:  # blocked, moved, no such chat
        raise PermanentDeliveryError(str(error)) from error
    except NetworkError as error:  # time-outs too
        raise TransientDeliveryError(str(error)) from error
    except TelegramError as error:
        raise TransientDeliveryError(str(error)) from error


def flood_wait_s(error: Exception) -> float:
    """As long as Telegram wants to be left alone, in seconds."""
    if not isinstance(error, RetryAfter):
        return 0.0
    wait = error.retry_after  # python-telegram-bot gives either, by its environment
    return wait.total_seconds() if isinstance(wait, timedelta) else float(wait)


def _cite(outgoing: Outgoing) -> str:
    """The documents that an answer rests on, by title."""
    titles = dict.fromkeys(str(source["title"]) for source in outgoing.sources)
    return f"\n\n_{', '.join(list(titles)[:3])}_" if titles else ""
