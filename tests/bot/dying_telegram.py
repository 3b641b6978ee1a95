"""Bots in Telegram, in processes of their own, each killing itself in a given step.

Run as a program it takes a line of JSON for each, {"folder", "url", "telegram", "step",
"messages"}; see tests.bot.dying_bot. The bot polls, answers and delivers, and ends once it has
stored so many messages of customers and nothing is open.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from bot.channel import Outgoing
from bot.channels.telegram import Telegram
from store import Database, Role, Turn
from tests.bot.dying_bot import count_open, die_at, make_deadly, serve
from tests.bot.running_bot import Bot, assemble, eventually
from tests.bot.telegram_server import TOKEN

CUSTOMER_STEPS = ("read", "received", "sending", "taken")
REVIEWER_STEPS = ("pressed", "decided", "learnt", "confirmed")


def dying(act: Callable[..., Awaitable[Any]], before: str, after: str, step: str) -> Any:
    """The act, with a death before or after it."""

    async def act_and_die(*args: Any, **kwargs: Any) -> Any:
        die_at(before, step)
        result = await act(*args, **kwargs)
        die_at(after, step)
        return result

    return act_and_die


async def never(_outgoing: Outgoing) -> list[str]:
    await asyncio.Event().wait()
    return []


def make_telegram_deadly(bot: Bot, telegram: Telegram, step: str) -> None:
    bot.inbox.receive = dying(bot.inbox.receive, "read", "received", step)  # type: ignore[method-assign]
    channel, review = telegram.channel, telegram._review
    channel.deliver = dying(channel.deliver, "sending", "taken", step)  # type: ignore[method-assign]
    if step in REVIEWER_STEPS:
        channel.deliver = never  # type: ignore[method-assign]
    review._decide = dying(review._decide, "pressed", "confirmed", step)  # type: ignore[method-assign]
    learn = dying(bot.knowledge.learn, "decided", "learnt", step)
    bot.knowledge.learn = learn  # type: ignore[method-assign]


async def count_asked(bot: Bot) -> int:
    async with bot.database.read() as session:
        asked = select(func.count(Turn.id)).where(Turn.role == Role.customer)
        return await session.scalar(asked) or 0


async def main(folder: str, url: str, telegram: str, step: str, messages: int) -> None:
    database = Database(f"sqlite+aiosqlite:///{Path(folder) / 'nod.db'}")
    bot = await assemble(database, Path(folder) / "chroma", url, owner="nod")
    talking = Telegram(
        database,
        bot.knowledge,
        bot.inbox,
        token=TOKEN,
        base_url=telegram,
        on_reply=bot.outbox.wake,
    )
    bot.outbox._channels[talking.channel.name] = talking.channel  # type: ignore[index]

    async def is_done() -> bool:
        return await count_asked(bot) >= messages and not await count_open(bot)

    make_deadly(bot, step)
    make_telegram_deadly(bot, talking, step)
    await bot.knowledge.sync()
    async with bot.at_work():
        polling = asyncio.create_task(talking.run())
        await eventually(is_done)
        await asyncio.sleep(0.3)  # the newest update is confirmed
        polling.cancel()


if __name__ == "__main__":
    serve(main)
