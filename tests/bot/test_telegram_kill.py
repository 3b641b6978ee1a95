"""`kill -9` in each step between Telegram and the store: nothing lost, and no verdict twice."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from openai import AsyncOpenAI
from sqlalchemy import select

from bot.masks import ensure_default
from knowledge import Knowledge
from store import Database, Reply, ReplyStatus, Review, Role, Turn, User, UserRole
from store.switches import set_switch
from tests.bot.dying_telegram import CUSTOMER_STEPS, REVIEWER_STEPS
from tests.bot.running_bot import EMBEDDING_MODEL
from tests.bot.running_program import Run, program
from tests.bot.running_telegram import PRIVATE, REVIEWER, written
from tests.bot.telegram_server import TelegramServer

ASKED, EDIT = ["first question", "second question"], "It is the first one."


RunBot = Callable[[str], Awaitable[int]]
"""Until a step, or until both questions are answered; the exit status."""


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with program("tests.bot.dying_telegram") as run:
        yield run


@pytest.fixture
async def run_bot(
    run: Run, database: Database, tmp_path: Path, modelserver_url: str, server: TelegramServer
) -> RunBot:
    await ensure_default(database)
    async with database.write() as session:
        await set_switch(session, "mode", "base", who="olga")
    order = {"folder": str(tmp_path), "url": modelserver_url, "telegram": server.url}

    async def run_until(step: str) -> int:
        return await asyncio.to_thread(run, {**order, "step": step, "messages": 2})

    return run_until


@pytest.mark.parametrize("step", CUSTOMER_STEPS)
async def test_killed_in_this_step_every_message_is_answered(
    step: str, run_bot: RunBot, database: Database, server: TelegramServer
) -> None:
    for text in ASKED:
        server.write(text)
    assert await run_bot(step) == -signal.SIGKILL
    assert await run_bot("never") == 0
    async with database.read() as session:
        asked = await session.scalars(select(Turn.text).where(Turn.role == Role.customer))
        replies = list(await session.scalars(select(Reply).order_by(Reply.id)))
    assert list(asked) == ASKED
    assert [reply.status for reply in replies] == [ReplyStatus.sent] * 2
    sent = server.texts_in(PRIVATE)
    assert set(sent) == {reply.text for reply in replies}
    # Telegram cannot tell us what it took in the moment of the kill: this one alone comes again.
    assert len(sent) == (3 if step == "taken" else 2)


@pytest.mark.parametrize("step", REVIEWER_STEPS)
async def test_killed_in_this_step_of_a_verdict_it_is_carried_out_once(
    step: str,
    run_bot: RunBot,
    database: Database,
    server: TelegramServer,
    tmp_path: Path,
    modelserver_url: str,
) -> None:
    async with database.write() as session:
        await set_switch(session, "policy", "hold", who="olga")
        session.add(
            User(name="rita", password_hash="-", role=UserRole.reviewer, telegram_id=REVIEWER)
        )
    server.write(ASKED[0])
    dying = asyncio.create_task(run_bot(step))
    await written(server, 1, REVIEWER)
    server.press("Edit", sender=REVIEWER)
    await written(server, 2, REVIEWER)
    server.write(EDIT, chat_id=REVIEWER)
    assert await dying == -signal.SIGKILL
    server.write(ASKED[1], chat_id=PRIVATE)
    assert await run_bot("never") == 0
    async with database.read() as session:
        (review,) = await session.scalars(select(Review))
        asked = await session.scalars(select(Turn.text).where(Turn.role == Role.customer))
        reply = await session.get_one(Reply, review.reply_id)
    assert list(asked) == ASKED, "the edit is no question"
    assert (reply.status, reply.text) == (ReplyStatus.sent, EDIT)
    assert server.texts_in(PRIVATE) == [EDIT]
    client = AsyncOpenAI(base_url=modelserver_url, api_key="none", max_retries=0)
    knowledge = await Knowledge.open(
        database, client, embedding_model=EMBEDDING_MODEL, folder=tmp_path / "chroma"
    )
    match = await knowledge.nearest_approved(ASKED[0])
    assert match is not None
    assert (match.answer, match.similarity) == (EDIT, 1.0)
    await knowledge.close()
    await client.close()
