"""A verdict on a reply that may go out at any moment: it is stopped, or it was too late."""

import asyncio

import pytest
from sqlalchemy import update

from bot import outbox as outbox_module
from bot.channel import Outgoing, TransientDeliveryError
from store import Reply, ReplyStatus, Verdict
from tests.bot.running_bot import Bot, eventually
from tests.bot.verdicts import ANSWER, QUESTION, judge, put_ready


async def status_of(bot: Bot, reply_id: int) -> ReplyStatus:
    async with bot.database.read() as session:
        return (await session.get_one(Reply, reply_id)).status


async def test_a_rejected_reply_that_was_not_sent_yet_never_is(bot_anywhere: Bot) -> None:
    bot = bot_anywhere
    reply_id = await put_ready(bot.database)
    await judge(bot, reply_id, Verdict.rejected)
    after = await put_ready(bot.database, "bob")
    async with bot.at_work():
        assert await bot.delivered(1) == [ANSWER]
    assert [taken for taken, _ in bot.channel.taken] == [after]
    assert await status_of(bot, reply_id) is ReplyStatus.withdrawn
    assert [turn.text for turn in await bot.turns()] == [QUESTION]
    assert (await bot.conversation()).wants_person_at is not None


async def test_an_edited_reply_that_was_not_sent_yet_goes_out_as_edited(bot_anywhere: Bot) -> None:
    bot = bot_anywhere
    reply_id = await put_ready(bot.database)
    await judge(bot, reply_id, Verdict.edited, "Five days.")
    async with bot.at_work():
        assert await bot.delivered(1) == ["Five days."]
    assert [turn.text for turn in await bot.turns()] == [QUESTION, "Five days."]
    assert (await bot.replies())[0].draft == ANSWER


async def test_of_a_reply_that_was_half_sent_the_rest_is_stopped_and_the_turn_stays(
    bot: Bot,
) -> None:
    reply_id = await put_ready(bot.database, sent_parts=["part-0"])
    await judge(bot, reply_id, Verdict.rejected)
    async with bot.at_work():
        await asyncio.sleep(0.05)
    assert bot.channel.taken == []
    assert [turn.text for turn in await bot.turns()] == [QUESTION, ANSWER]


async def test_verdict_and_delivery_race_and_each_reply_is_sent_once_or_never(
    bot_anywhere: Bot,
) -> None:
    bot = bot_anywhere
    ids = [await put_ready(bot.database, f"customer {number}") for number in range(24)]
    async with bot.at_work():
        await asyncio.gather(*(judge(bot, reply_id, Verdict.rejected) for reply_id in ids))

        async def are_settled() -> bool:
            settled = (ReplyStatus.sent, ReplyStatus.withdrawn)
            return all([await status_of(bot, reply_id) in settled for reply_id in ids])

        await eventually(are_settled)
    sent = {each for each in ids if await status_of(bot, each) is ReplyStatus.sent}
    assert sorted(taken for taken, _ in bot.channel.taken) == sorted(sent)


async def test_a_verdict_waits_for_a_claim_in_progress_and_leaves_the_reply_to_it(
    bot_anywhere: Bot,
) -> None:
    bot = bot_anywhere
    reply_id = await put_ready(bot.database)
    async with bot.database.write() as session:
        claim = update(Reply).where(Reply.id == reply_id)
        await session.execute(claim.values(status=ReplyStatus.sending, claimed_by="outbox"))
        verdict = asyncio.create_task(judge(bot, reply_id, Verdict.rejected))
        await asyncio.sleep(0.3)  # it has read all that it can
        assert not verdict.done()
    await verdict
    assert await status_of(bot, reply_id) is ReplyStatus.sending
    assert len(await bot.turns()) == 2


async def test_a_reply_that_is_rejected_on_its_way_is_not_tried_again(
    bot_anywhere: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = bot_anywhere
    monkeypatch.setattr(outbox_module, "FIRST_RETRY_S", 0.01)
    reply_id = await put_ready(bot.database)
    is_on_its_way, may_fail = asyncio.Event(), asyncio.Event()

    async def fail_once(outgoing: Outgoing) -> list[str]:
        assert not is_on_its_way.is_set(), "it was tried again"
        is_on_its_way.set()
        await may_fail.wait()
        raise TransientDeliveryError("flood")

    monkeypatch.setattr(bot.channel, "deliver", fail_once)
    async with bot.at_work():
        await is_on_its_way.wait()
        await judge(bot, reply_id, Verdict.rejected)
        assert await status_of(bot, reply_id) is ReplyStatus.sending
        may_fail.set()

        async def is_withdrawn() -> bool:
            return await status_of(bot, reply_id) is ReplyStatus.withdrawn

        await eventually(is_withdrawn)
