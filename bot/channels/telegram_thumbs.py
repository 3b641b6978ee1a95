"""Thumbs in Telegram: two buttons under an answer."""

from contextlib import suppress

from telegram import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup
from telegram.error import BadRequest

from bot.channel import Outgoing
from bot.thumbs import give_thumb
from store import Database, conversation_id

_PICTURES = {"up": "👍", "down": "👎"}


def thumb_buttons(outgoing: Outgoing) -> InlineKeyboardMarkup | None:
    """The buttons for a reply that may be rated."""
    if not outgoing.is_rated:
        return None
    row = [
        InlineKeyboardButton(picture, callback_data=f"{kind}:{outgoing.reply_id}")
        for kind, picture in _PICTURES.items()
    ]
    return InlineKeyboardMarkup([row])


async def take_thumb(database: Database, query: CallbackQuery) -> bool:
    """Store what a customer pressed; whether it was a thumb. A button works in its own chat."""
    kind, _, number = (query.data or "").partition(":")
    if kind not in _PICTURES or not number.isdigit() or query.message is None:
        return False
    conversation = conversation_id("telegram", str(query.message.chat.id))
    async with database.write() as session:
        is_taken = await give_thumb(session, conversation, int(number), kind == "up")
    with suppress(BadRequest):  # pressed long ago: Telegram waits for no answer any more
        await query.answer(_PICTURES[kind] if is_taken else "–")  # needs no language
    return True
