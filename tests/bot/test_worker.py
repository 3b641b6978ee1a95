"""From a message to a delivered reply."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from bot.phrases import Phrase
from store import ReplyStatus, Role, Turn, TurnState, Way
from tests.bot.conftest import Teach
from tests.bot.running_bot import BASE_MODEL, Bot, assemble, disassemble, eventually
from tests.loopback import Answering, serving

QUESTION = "How long does delivery of a mattress take?"
ANSWER = "Delivery takes five working days."


async def test_a_question_is_answered_delivered_and_told_how(bot: Bot, teach: Teach) -> None:
    await teach(QUESTION, ANSWER)
    async with bot.at_work():
        await bot.hear(QUESTION)
        assert await bot.delivered(1) == [ANSWER]
    (reply,) = await bot.replies()
    assert (reply.status, reply.way, reply.needs_review) == (ReplyStatus.sent, Way.approved, False)
    assert reply.sent_parts == ["part-0"]
    assert [(turn.role, turn.text) for turn in await bot.turns()] == [
        (Role.customer, QUESTION),
        (Role.bot, ANSWER),
    ]


async def test_a_repeated_delivery_is_stored_and_answered_once(bot_anywhere: Bot) -> None:
    bot = bot_anywhere
    async with bot.at_work():
        heard = await asyncio.gather(
            *(bot.hear(QUESTION, delivery_id="update-1") for _ in range(5))
        )
        await bot.delivered(1)
    assert [turn is not None for turn in heard].count(True) == 1
    assert len(await bot.replies()) == 1


async def test_one_conversation_is_answered_in_order_and_many_at_once(bot_anywhere: Bot) -> None:
    bot = bot_anywhere
    for i in range(4):
        for address in ("ann", "bob", "cid"):
            await bot.hear(f"question {i} of {address}", address=address)
    async with bot.at_work():
        await bot.delivered(12)
    for address in ("ann", "bob", "cid"):
        answered = [turn.text for turn in await bot.turns(address) if turn.role is Role.customer]
        replies = await bot.replies(address)
        assert answered == [f"question {i} of {address}" for i in range(4)]
        assert [reply.turn_id for reply in replies] == sorted(
            turn.id for turn in await bot.turns(address) if turn.role is Role.customer
        )
        taken = [reply_id for reply_id, _ in bot.channel.taken]
        mine = [reply_id for reply_id in taken if reply_id in {reply.id for reply in replies}]
        assert mine == [reply.id for reply in replies]


@asynccontextmanager
async def at_work_without_looking(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """It does what it is handed, and finds nothing by itself."""

    async def finds_nothing(_room: int) -> list[Any]:
        return []

    monkeypatch.setattr(bot.worker, "_claim", finds_nothing)
    monkeypatch.setattr(bot.outbox, "_claim", finds_nothing)
    async with bot.at_work():
        await eventually(lambda: _is(bot.worker._is_running and bot.outbox._is_running))
        yield


async def test_what_comes_while_it_works_needs_no_looking_for(
    bot_anywhere: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = bot_anywhere
    async with at_work_without_looking(bot, monkeypatch):
        await asyncio.gather(*(bot.hear("Hello?", address=f"customer {i}") for i in range(8)))
        await bot.delivered(8)


async def test_a_message_whose_receiver_is_cancelled_is_stored_and_begun_at_once(
    bot_anywhere: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a browser closes the connection in the middle of it."""
    bot = bot_anywhere
    async with at_work_without_looking(bot, monkeypatch):
        receiving = asyncio.create_task(bot.hear("Hello?"))
        await asyncio.sleep(0)
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        await bot.delivered(1)


async def test_who_writes_on_while_an_answer_is_made_is_answered_in_order(
    bot_anywhere: Bot,
) -> None:
    bot = bot_anywhere
    async with bot.at_work():
        for i in range(6):
            await bot.hear(f"question {i}")
        await bot.delivered(6)
    asked = [turn for turn in await bot.turns() if turn.role is Role.customer]
    assert [turn.text for turn in asked] == [f"question {i}" for i in range(6)]
    replies = await bot.replies()
    assert [reply.turn_id for reply in replies] == [turn.id for turn in asked]
    assert [reply_id for reply_id, _ in bot.channel.taken] == [reply.id for reply in replies]


async def test_two_workers_racing_answer_and_send_each_turn_once(
    bot_anywhere: Bot, tmp_path: Path, modelserver_url: str
) -> None:
    bot = bot_anywhere
    other = await assemble(bot.database, tmp_path / "other", modelserver_url, channel=bot.channel)
    for i in range(10):
        await bot.hear("Hello?", address=f"customer {i}")
        await bot.hear("Are you there?", address=f"customer {i}")
    async with bot.at_work(), other.at_work():
        await bot.delivered(20)
        await asyncio.sleep(0.2)
    await disassemble(other)
    assert len(bot.channel.taken) == len({reply_id for reply_id, _ in bot.channel.taken}) == 20


async def test_a_claim_that_ran_out_is_taken_up_by_another_worker(bot: Bot) -> None:
    turn = await bot.hear(QUESTION)
    assert turn is not None
    async with bot.database.write() as session:
        stored = await session.get_one(Turn, turn.id)
        stored.state, stored.claimed_by = TurnState.answering, "a dead one"
        stored.claimed_until = stored.created_at
    async with bot.at_work():
        await bot.delivered(1)


async def test_what_its_owner_left_behind_is_released_at_start(
    bot: Bot, tmp_path: Path, modelserver_url: str
) -> None:
    turn = await bot.hear(QUESTION)
    assert turn is not None
    async with bot.database.write() as session:
        stored = await session.get_one(Turn, turn.id)
        stored.state, stored.claimed_by = TurnState.answering, "nod"
        stored.claimed_until = stored.created_at.replace(year=2100)
    again = await assemble(bot.database, tmp_path / "again", modelserver_url, owner="nod")
    async with again.at_work():
        await again.delivered(1)
    await disassemble(again)


async def test_while_the_model_is_down_a_notice_goes_out_once_and_the_answer_later(
    bot: Bot, tmp_path: Path, modelserver_url: str
) -> None:
    from tests.modelserver_process import running_modelserver

    await bot.switch("mode", "base")
    with running_modelserver(tmp_path / "server") as server:
        port = int(server.url.split(":")[2].split("/")[0])
    down = await assemble(bot.database, tmp_path / "down", server.url)
    async with down.at_work():
        await down.hear(QUESTION)
        assert await down.delivered(1) == [Phrase.notice.like(QUESTION)]
        await eventually(lambda: _attempts(down, 2))
        assert len(down.channel.taken) == 1
        with running_modelserver(tmp_path / "server", port=port):
            await down.delivered(2)
    notice, answer = await down.replies()
    assert (notice.way, answer.way, answer.model) == (Way.notice, Way.base, BASE_MODEL)
    await disassemble(down)


async def _attempts(bot: Bot, count: int) -> bool:
    return (await bot.turns())[0].attempts >= count


async def test_an_approved_reply_is_given_while_the_model_is_down(
    bot: Bot, teach: Teach, tmp_path: Path
) -> None:
    await teach(QUESTION, ANSWER)
    down = await assemble(bot.database, tmp_path / "down", "http://127.0.0.1:9/v1")
    async with down.at_work():
        await down.hear(QUESTION)
        assert await down.delivered(1) == [ANSWER]
    await disassemble(down)


async def test_after_six_hours_it_is_given_up_and_a_person_is_asked(
    bot: Bot, tmp_path: Path
) -> None:
    await bot.switch("mode", "base")
    turn = await bot.hear(QUESTION)
    assert turn is not None
    async with bot.database.write() as session:
        stored = await session.get_one(Turn, turn.id)
        stored.created_at = stored.created_at.replace(year=2020)
    down = await assemble(bot.database, tmp_path / "down", "http://127.0.0.1:9/v1")
    async with down.at_work():
        assert await down.delivered(1) == [Phrase.unknown.like(QUESTION)]
    async with bot.database.read() as session:
        assert await session.scalar(select(Turn.state)) is TurnState.failed
    assert (await down.conversation()).wants_person_at is not None
    await disassemble(down)


async def test_nothing_relevant_found_is_an_honest_unknown_and_asks_for_a_person(
    bot: Bot,
) -> None:
    async with bot.at_work():
        await bot.hear("你们卖床垫吗？")
        assert await bot.delivered(1) == [Phrase.unknown.like("中文")]
    (reply,) = await bot.replies()
    assert (reply.way, reply.needs_review) == (Way.unknown, True)
    assert (await bot.conversation()).wants_person_at is not None


async def test_held_answers_are_neither_shown_nor_sent(bot: Bot) -> None:
    await bot.switch("mode", "base")
    await bot.switch("policy", "hold")
    turn = await bot.hear(QUESTION)
    assert turn is not None
    async with bot.at_work():
        await eventually(lambda: _has_replies(bot))
        await asyncio.sleep(0.05)
    (reply,) = await bot.replies()
    assert (reply.status, reply.needs_review) == (ReplyStatus.held, True)
    assert bot.channel.taken == []
    assert bot.channel.previews[turn.id].shown == []
    assert bot.channel.previews[turn.id].typed >= 1


async def _has_replies(bot: Bot) -> bool:
    return bool(await bot.replies())


async def test_what_streams_is_what_is_sent(bot: Bot) -> None:
    await bot.switch("mode", "base")
    turn = await bot.hear(QUESTION)
    assert turn is not None
    async with bot.at_work():
        texts = await bot.delivered(1)
    shown = bot.channel.previews[turn.id].shown
    assert len(shown) > 1
    assert shown[-1] == texts[0]
    assert all(texts[0].startswith(text) for text in shown)


async def _is(value: bool) -> bool:
    return value


async def test_the_log_says_in_a_word_why_an_answer_was_put_off(bot: Bot, tmp_path: Path) -> None:
    """What the endpoint says of it may hold the question, and stands in the row alone."""

    class Locked(Answering):
        def do_POST(self) -> None:
            self.answer(401, json.dumps({"error": {"message": f"no key, but {QUESTION}"}}).encode())

    await bot.switch("mode", "base")
    with serving(Locked) as url, capture_logs() as logs:
        locked = await assemble(bot.database, tmp_path / "locked", f"{url}/v1")
        async with locked.at_work():
            await locked.hear(QUESTION)
            await locked.delivered(1)
        await disassemble(locked)
    told = [entry for entry in logs if entry["event"] == "answer_put_off"]
    assert told
    assert told[0]["why"] == "AuthenticationError"
    assert QUESTION not in str(told)
