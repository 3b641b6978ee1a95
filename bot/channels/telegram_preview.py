"""What a customer sees in Telegram while the answer is being written.

In private chats it is a draft, which Telegram shows for half a minute and which the reply then
replaces. Groups have no drafts: a message is sent there and edited. Edits count against the
group's limit of 20 messages a minute, so they come seldom; one every half second earned penalties
of two minutes in trials.
"""

import asyncio
from contextlib import suppress

import structlog
from telegram import Bot
from telegram.constants import ChatAction
from telegram.error import TelegramError

from bot.channels.telegram_text import as_parts

log = structlog.get_logger(__name__)

DRAFT_EVERY_S = 1.0
EDIT_EVERY_S = 3.0
IDLE_S = 60.0
"""So long nothing new was written: the answer was put off, or came another way."""


class TelegramPreview:
    """Follows one answer. Shows the newest text at a bearable pace and skips what lies between."""

    def __init__(self, bot: Bot, chat_id: int, turn_id: int) -> None:
        self._bot, self._chat_id, self._turn_id = bot, chat_id, turn_id
        self._is_group = chat_id < 0  # https://core.telegram.org/bots/api#chat
        self._text = ""
        self._message_id: int | None = None
        self._task: asyncio.Task[None] | None = None
        self._request: asyncio.Task[None] | None = None
        self._is_refused = False

    async def typing(self) -> None:
        if not self._text:
            with suppress(TelegramError):
                await self._bot.send_chat_action(self._chat_id, ChatAction.TYPING)

    async def show(self, text: str) -> None:
        self._text = text
        if not self._is_refused and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._follow())

    async def end(self) -> int | None:
        """Show nothing more; the message that the reply should replace, where there is one."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._request is not None:  # finished, or its message would stay beside the reply
            await asyncio.gather(self._request, return_exceptions=True)
        return self._message_id

    async def _follow(self) -> None:
        """Show what is new, until Telegram has had enough: the reply comes anyway."""
        pace_s = EDIT_EVERY_S if self._is_group else DRAFT_EVERY_S
        shown, idle_s = "", 0.0
        try:
            while idle_s < IDLE_S:
                idle_s += pace_s
                if self._text != shown:
                    shown, idle_s = self._text, 0.0
                    self._request = asyncio.create_task(self._put(shown))
                    await asyncio.shield(self._request)
                await asyncio.sleep(pace_s)
        except TelegramError as error:
            self._is_refused = True
            log.info("preview_ended", chat_id=self._chat_id, error=type(error).__name__)

    async def _put(self, markdown: str) -> None:
        parts = as_parts(markdown)
        if not parts:
            return
        text, entities = parts[0]
        if not self._is_group:
            await self._bot.send_message_draft(
                self._chat_id, self._turn_id, text, entities=entities
            )
        elif self._message_id is None:
            message = await self._bot.send_message(self._chat_id, text, entities=entities)
            self._message_id = message.message_id
        else:
            await self._bot.edit_message_text(
                text, self._chat_id, self._message_id, entities=entities
            )
