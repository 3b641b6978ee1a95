"""A bot for tests: all of its parts, on a channel that remembers what it was given."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from openai import AsyncOpenAI
from sqlalchemy import select

from bot.answer import Answerer, AnswerOptions
from bot.channel import Channel, Outgoing
from bot.inbox import Inbox
from bot.message import Message
from bot.outbox import Outbox
from bot.worker import AnswerWorker
from knowledge import Knowledge
from store import Conversation, Database, Reply, Turn, conversation_id
from store.switches import set_switch

BASE_MODEL = "smollm2-135m-instruct"
EMBEDDING_MODEL = "multilingual-e5-small"


@dataclass
class RememberingPreview:
    """What one customer saw while an answer was being made."""

    shown: list[str] = field(default_factory=list)
    typed: int = 0

    async def typing(self) -> None:
        self.typed += 1

    async def show(self, text: str) -> None:
        self.shown.append(text)


class RememberingChannel:
    """Takes replies in parts, cut at `---`; `refusals` has one, or none, for each part to come."""

    def __init__(self, name: str = "test") -> None:
        self.name = name
        self.taken: list[tuple[int, str]] = []
        self.previews: dict[int, RememberingPreview] = {}
        self.refusals: list[Exception | None] = []

    def preview(self, address: str, turn_id: int) -> RememberingPreview:
        return self.previews.setdefault(turn_id, RememberingPreview())

    async def deliver(self, outgoing: Outgoing) -> list[str]:
        parts = list(outgoing.sent_parts)
        pieces = outgoing.text.split("\n---\n")
        for place, piece in enumerate(pieces):
            if place < len(parts):
                continue
            if refusal := self.refusals.pop(0) if self.refusals else None:
                raise refusal
            self.taken.append((outgoing.reply_id, piece))
            parts.append(f"part-{place}")
            if place < len(pieces) - 1:
                await outgoing.on_part(parts[-1])
        return parts

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.taken]


@dataclass
class Bot:
    """The parts of a bot, wired as the program wires them."""

    database: Database
    knowledge: Knowledge
    client: AsyncOpenAI
    channel: RememberingChannel
    answerer: Answerer
    inbox: Inbox
    worker: AnswerWorker
    outbox: Outbox

    async def hear(
        self, text: str, *, address: str = "ann", delivery_id: str | None = None
    ) -> Turn | None:
        message = Message(
            channel=self.channel.name, address=address, text=text, delivery_id=delivery_id
        )
        return await self.inbox.receive(message)

    async def switch(self, key: str, value: str) -> None:
        async with self.database.write() as session:
            await set_switch(session, key, value, who="olga")

    async def replies(self, address: str = "ann") -> list[Reply]:
        cid = conversation_id(self.channel.name, address)
        query = select(Reply).where(Reply.conversation_id == cid).order_by(Reply.id)
        async with self.database.read() as session:
            return list(await session.scalars(query))

    async def turns(self, address: str = "ann") -> list[Turn]:
        cid = conversation_id(self.channel.name, address)
        query = select(Turn).where(Turn.conversation_id == cid).order_by(Turn.seq)
        async with self.database.read() as session:
            return list(await session.scalars(query))

    async def conversation(self, address: str = "ann") -> Conversation:
        async with self.database.read() as session:
            return await session.get_one(Conversation, conversation_id(self.channel.name, address))

    async def delivered(self, count: int) -> list[str]:
        """The texts that the channel took, once there are so many."""
        await eventually(lambda: _true(len(self.channel.taken) >= count))
        return self.channel.texts

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Answering and delivering."""
        tasks = [asyncio.create_task(self.worker.run()), asyncio.create_task(self.outbox.run())]
        try:
            yield
        finally:
            self.worker.stop()
            self.outbox.stop()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task


async def _true(value: bool) -> bool:
    return value


async def eventually(check: Callable[[], Awaitable[bool]], *, within_s: float = 90) -> None:
    """Waits for what other tasks bring about."""
    async with asyncio.timeout(within_s):
        while not await check():  # noqa: ASYNC110 - it looks at rows
            await asyncio.sleep(0.01)


async def assemble(
    database: Database,
    folder: Path,
    url: str,
    *,
    channel: RememberingChannel | None = None,
    owner: str | None = None,
    options: AnswerOptions | None = None,
) -> Bot:
    """A bot on a database, a folder for Chroma and a model server."""
    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    knowledge = await Knowledge.open(
        database, client, embedding_model=EMBEDDING_MODEL, folder=folder
    )
    answerer = Answerer(knowledge, client, base_model=BASE_MODEL, options=options)
    channel = channel or RememberingChannel()
    channels: dict[str, Channel] = {channel.name: channel}
    outbox = Outbox(database, channels, owner=owner)
    worker = AnswerWorker(database, answerer, channels, owner=owner, outbox=outbox)
    inbox = Inbox(database, worker=worker, outbox=outbox)
    return Bot(
        database=database,
        knowledge=knowledge,
        client=client,
        channel=channel,
        answerer=answerer,
        inbox=inbox,
        worker=worker,
        outbox=outbox,
    )


async def disassemble(bot: Bot) -> None:
    await bot.knowledge.close()
    await bot.client.close()
