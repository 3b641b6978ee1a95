"""Bots in processes of their own, each killing itself in a given step.

Run as a program it takes a line of JSON for each, {"folder", "url", "step", "texts"}, and forks:
imports take seconds, and are done once this way. The bot
hears the texts, each as a delivery of its own, answers and delivers; what the channel takes is a
line in FOLDER/taken. With the step `never` it ends when nothing is left to do.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from bot.channel import Outgoing
from bot.draft import Draft
from bot.outbox import Delivery
from store import Database, Reply, ReplyStatus, Turn, TurnState
from tests.bot.running_bot import Bot, RememberingChannel, assemble

STEPS = ("received", "answering", "answered", "ready", "sending", "part", "taken")


class DyingChannel(RememberingChannel):
    """Knows what it has taken by the reply's id and the part's place, as a good channel does."""

    def __init__(self, path: Path, step: str) -> None:
        super().__init__()
        self.path, self.step = path, step

    async def deliver(self, outgoing: Outgoing) -> list[str]:
        die_at("sending", self.step)
        parts = list(outgoing.sent_parts)
        for place, piece in enumerate(outgoing.text.split("\n---\n")):
            if place >= len(parts):
                self._take(f"{outgoing.reply_id}/{place} {piece}\n")
                parts.append(str(place))
                await outgoing.on_part(str(place))
                die_at("part", self.step)
        die_at("taken", self.step)
        return parts

    def _take(self, line: str) -> None:
        with self.path.open("a+") as file:
            file.seek(0)
            if line not in file.readlines():
                file.write(line)


def die_at(step: str, chosen: str) -> None:
    if step == chosen:
        os.kill(os.getpid(), signal.SIGKILL)


def make_deadly(bot: Bot, step: str) -> None:
    """Have the process die while an answer is made, or right before or after it is stored."""
    answer, take_over = bot.answerer.answer, bot.outbox.take_over

    async def answer_and_die(*args: object, **kwargs: object) -> Draft:
        die_at("answering", step)
        draft = await answer(*args, **kwargs)  # type: ignore[arg-type]
        die_at("answered", step)
        return draft

    def take_over_and_die(delivery: Delivery) -> None:
        die_at("ready", step)
        take_over(delivery)

    bot.answerer.answer = answer_and_die  # type: ignore[method-assign]
    bot.outbox.take_over = take_over_and_die  # type: ignore[method-assign]


async def count_open(bot: Bot) -> int:
    async with bot.database.read() as session:
        turns = select(func.count()).where(Turn.state.in_((TurnState.waiting, TurnState.answering)))
        replies = select(func.count()).where(
            Reply.status.in_((ReplyStatus.ready, ReplyStatus.sending))
        )
        return (await session.scalar(turns) or 0) + (await session.scalar(replies) or 0)


async def main(folder: str, url: str, step: str, texts: list[str]) -> None:
    home = Path(folder)
    channel = DyingChannel(home / "taken", step)
    database = Database(f"sqlite+aiosqlite:///{home / 'nod.db'}")
    bot = await assemble(database, home / "chroma", url, channel=channel, owner="nod")
    make_deadly(bot, step)
    for number, text in enumerate(texts):
        await bot.hear(text, delivery_id=str(number))
        die_at("received", step)
    async with bot.at_work():
        while await count_open(bot):  # noqa: ASYNC110 - it looks at rows
            await asyncio.sleep(0.02)


def serve(main: Callable[..., Coroutine[Any, Any, None]]) -> None:
    """Run a bot for each line of JSON; answer with its exit status, negative for its signal."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(main(**json.loads(line)))
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(f"{status}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve(main)
