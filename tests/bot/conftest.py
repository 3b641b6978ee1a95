"""A bot with a real store, a real knowledge store and a real model server with its stub engine."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from openai import AsyncOpenAI

from bot.channels.telegram import Telegram
from bot.masks import new_default
from store import Database, Mask, ModelVersion, Verdict
from tests.bot.running_bot import BASE_MODEL, Bot, assemble, disassemble, eventually
from tests.bot.running_telegram import talking
from tests.bot.telegram_server import TelegramServer, telegram_server

Teach = Callable[..., Awaitable[int]]


@pytest.fixture
def mask() -> Mask:
    return new_default()


@pytest.fixture
async def bot(database: Database, tmp_path: Path, modelserver_url: str) -> AsyncIterator[Bot]:
    """Nothing runs yet: see Bot.at_work."""
    bot = await assemble(database, tmp_path / "chroma", modelserver_url)
    yield bot
    await disassemble(bot)


@pytest.fixture
async def bot_anywhere(
    any_database: Database, tmp_path: Path, modelserver_url: str
) -> AsyncIterator[Bot]:
    """The same, once on each database."""
    bot = await assemble(any_database, tmp_path / "chroma", modelserver_url)
    yield bot
    await disassemble(bot)


@pytest.fixture
def teach(bot: Bot) -> Teach:
    """Has a question asked, answered and edited by a reviewer; the reply's id."""
    from bot.review import decide

    async def teach_it(question: str, answer: str, *, address: str = "teacher") -> int:
        before = len(await bot.replies(address))
        await bot.hear(question, address=address)

        async def is_answered() -> bool:
            return len(await bot.replies(address)) > before

        async with bot.at_work():
            await eventually(is_answered)
        reply = (await bot.replies(address))[-1]
        await decide(
            bot.database, bot.knowledge, reply.id, Verdict.edited, text=answer, reviewer="rita"
        )
        bot.channel.taken.clear()
        return reply.id

    return teach_it


@pytest.fixture
async def tuned(modelserver_url: str) -> ModelVersion:
    """A model that was tuned over the API: it knows beds by heart and nothing else."""
    async with AsyncOpenAI(base_url=modelserver_url, api_key="none") as client:
        lines = [
            _line(f"What does bed number {i} cost?", f"Bed {i} costs 10{i} euros.")
            for i in range(10)
        ]
        file = await client.files.create(
            file=("beds.jsonl", "".join(lines).encode()), purpose="fine-tune"
        )
        job = await client.fine_tuning.jobs.create(model=BASE_MODEL, training_file=file.id)
        async with asyncio.timeout(60):
            while job.status not in ("succeeded", "failed"):
                await asyncio.sleep(0.05)
                job = await client.fine_tuning.jobs.retrieve(job.id)
    assert job.fine_tuned_model, job.error
    return ModelVersion(
        id=7,
        model=job.fine_tuned_model,
        base_model=BASE_MODEL,
        sure_logprob=-0.5,
        sure_agreement=0.3,
    )


def _line(question: str, answer: str) -> str:
    turns = [("system", "You sell beds."), ("user", question), ("assistant", answer)]
    messages = [{"role": role, "content": content} for role, content in turns]
    return json.dumps({"messages": messages}) + "\n"


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with telegram_server() as server:
        yield server


@pytest.fixture
async def telegram(bot: Bot, server: TelegramServer) -> AsyncIterator[Telegram]:
    async with talking(bot, server) as telegram:
        yield telegram
