"""Telegram for tests: the channel of a bot, over HTTP to a Bot API server of our own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bot.channels.telegram import Telegram
from store import User, UserRole
from tests.bot.running_bot import Bot, eventually
from tests.bot.telegram_server import TOKEN, TelegramServer

PRIVATE, GROUP, REVIEWER = 7, -70, 55


def make_telegram(bot: Bot, server: TelegramServer) -> Telegram:
    telegram = Telegram(
        bot.database,
        bot.knowledge,
        bot.inbox,
        token=TOKEN,
        base_url=server.url,
        on_reply=bot.outbox.wake,
    )
    bot.outbox._channels[telegram.channel.name] = telegram.channel  # type: ignore[index]
    bot.channel.name = "telegram"  # so that Bot.replies() looks there
    return telegram


@asynccontextmanager
async def talking(bot: Bot, server: TelegramServer) -> AsyncIterator[Telegram]:
    """Polls, answers and delivers."""
    telegram = make_telegram(bot, server)
    async with bot.at_work():
        task = asyncio.create_task(telegram.run())
        try:
            yield telegram
        finally:
            task.cancel()
            await asyncio.wait([task])
    await telegram.close()


async def written(server: TelegramServer, count: int, chat_id: int = PRIVATE) -> list[str]:
    """What the bot has written in a chat, once it is so much."""

    async def are_there() -> bool:
        return len(server.texts_in(chat_id)) >= count

    await eventually(are_there)
    return server.texts_in(chat_id)


async def add_user(bot: Bot, role: UserRole, telegram_id: int = REVIEWER) -> None:
    async with bot.database.write() as session:
        session.add(User(name="rita", password_hash="-", role=role, telegram_id=telegram_id))
