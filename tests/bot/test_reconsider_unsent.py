"""A verdict changed before the customer has the reply: it is stopped, or goes out after all."""

import asyncio

from sqlalchemy import select, update

from bot.review import answer_as_person
from store import Conversation, ReplyStatus, Verdict
from tests.bot.running_bot import Bot, eventually
from tests.bot.verdicts import (
    ANSWER,
    EDIT,
    QUESTION,
    change,
    changes,
    deliver,
    judge,
    known,
    put_held,
    put_ready,
    reply_of,
    undo,
)


async def test_an_approval_of_a_held_reply_that_is_not_sent_yet_is_held_again(
    bot_anywhere: Bot,
) -> None:
    bot = bot_anywhere
    reply_id = await put_held(bot.database)
    reply = await undo(bot, await judge(bot, reply_id, Verdict.edited, EDIT))
    assert (reply.status, reply.text, reply.needs_review) == (ReplyStatus.held, ANSWER, True)
    assert [turn.text for turn in await bot.turns()] == [QUESTION]
    after = await put_ready(bot.database, "bob")
    await deliver(bot, 1)
    assert [taken for taken, _ in bot.channel.taken] == [after]
    await judge(bot, reply_id, Verdict.approved)
    assert await deliver(bot, 2) == [ANSWER, ANSWER]


async def test_a_reply_that_never_waited_for_a_verdict_goes_out_when_one_is_taken_back(
    bot: Bot,
) -> None:
    reply_id = await put_ready(bot.database)
    reply = await undo(bot, await judge(bot, reply_id, Verdict.edited, EDIT))
    assert (reply.status, reply.text, reply.needs_review) == (ReplyStatus.ready, ANSWER, True)
    assert await deliver(bot, 1) == [ANSWER]
    assert [turn.text for turn in await bot.turns()] == [QUESTION, ANSWER]


async def test_a_rejection_taken_back_holds_the_reply_and_asks_for_nobody_any_more(
    bot_anywhere: Bot,
) -> None:
    bot = bot_anywhere
    review = await judge(bot, await put_held(bot.database), Verdict.rejected)
    assert (await bot.conversation()).wants_person_at is not None
    reply = await undo(bot, review)
    assert (reply.status, reply.needs_review) == (ReplyStatus.held, True)
    assert (await bot.conversation()).wants_person_at is None


async def test_who_asked_for_a_person_before_a_rejection_still_asks_when_it_is_taken_back(
    bot: Bot,
) -> None:
    reply_id = await put_held(bot.database)
    async with bot.database.write() as session:
        conversation = (await session.scalars(select(Conversation))).one()
        conversation.wants_person_at = conversation.created_at
    await undo(bot, await judge(bot, reply_id, Verdict.rejected))
    after = await bot.conversation()
    assert after.wants_person_at == after.created_at


async def test_a_rejected_reply_goes_out_after_all_while_the_customer_waits(
    bot_anywhere: Bot,
) -> None:
    bot = bot_anywhere
    review = await judge(bot, await put_held(bot.database), Verdict.rejected)
    await change(bot, review, Verdict.edited, EDIT)
    assert await deliver(bot, 1) == [EDIT]
    assert await known(bot) == EDIT
    assert (await bot.conversation()).wants_person_at is None
    assert [turn.text for turn in await bot.turns()] == [QUESTION, EDIT]
    assert await changes(bot) == [("omar", "rejected by rita", "edited by omar")]


async def test_a_rejected_reply_is_learnt_but_not_sent_once_the_customer_was_answered(
    bot: Bot,
) -> None:
    reply_id = await put_held(bot.database)
    review = await judge(bot, reply_id, Verdict.rejected)
    conversation = (await bot.conversation()).id
    await answer_as_person(bot.database, conversation, "Rita here.", who="rita")
    await change(bot, review, Verdict.approved)
    assert await known(bot) == ANSWER
    after = await put_ready(bot.database, "bob")
    await deliver(bot, 2)
    assert reply_id not in [taken for taken, _ in bot.channel.taken]
    assert after in [taken for taken, _ in bot.channel.taken]
    assert (await reply_of(bot, reply_id)).status is ReplyStatus.withdrawn


async def test_of_a_reply_that_was_half_sent_and_stopped_no_more_goes_out(bot: Bot) -> None:
    reply_id = await put_ready(bot.database, sent_parts=["part-0"])
    review = await judge(bot, reply_id, Verdict.rejected)
    await change(bot, review, Verdict.approved)
    assert (await reply_of(bot, reply_id)).status is ReplyStatus.withdrawn
    assert (await bot.conversation()).wants_person_at is not None


async def test_a_rejection_after_an_approval_is_unlearnt_and_stops_what_is_not_sent(
    bot_anywhere: Bot,
) -> None:
    bot = bot_anywhere
    sent, unsent = await put_ready(bot.database, "ann"), await put_held(bot.database, "bob")
    first = await judge(bot, sent, Verdict.approved)
    await deliver(bot, 1)
    second = await judge(bot, unsent, Verdict.approved)
    for review in (first, second):
        await change(bot, review, Verdict.rejected)
    assert await known(bot) is None
    assert (await reply_of(bot, sent)).status is ReplyStatus.sent
    assert (await reply_of(bot, unsent)).status is ReplyStatus.withdrawn
    assert [turn.text for turn in await bot.turns("bob")] == [QUESTION]
    assert (await bot.conversation("bob")).wants_person_at is not None


async def test_undo_and_delivery_race_and_each_reply_is_sent_once_or_held(
    bot_anywhere: Bot,
) -> None:
    bot = bot_anywhere
    held = [await put_held(bot.database, f"customer {number}") for number in range(12)]
    reviews = [await judge(bot, reply_id, Verdict.approved) for reply_id in held]
    async with bot.at_work():
        await asyncio.gather(*(undo(bot, review) for review in reviews))

        async def are_settled() -> bool:
            settled = (ReplyStatus.sent, ReplyStatus.held)
            return all([(await reply_of(bot, each)).status in settled for each in held])

        await eventually(are_settled)
    sent = [each for each in held if (await reply_of(bot, each)).status is ReplyStatus.sent]
    assert sorted(taken for taken, _ in bot.channel.taken) == sorted(sent)
    for number, each in enumerate(held):
        turns = [turn.text for turn in await bot.turns(f"customer {number}")]
        assert turns == ([QUESTION, ANSWER] if each in sent else [QUESTION])


async def test_a_customer_who_began_afresh_does_not_get_what_was_rejected_before(bot: Bot) -> None:
    review = await judge(bot, await put_held(bot.database), Verdict.rejected)
    async with bot.database.write() as session:
        await session.execute(update(Conversation).values(context_from_seq=2))
    await change(bot, review, Verdict.approved)
    assert (await reply_of(bot, review.reply_id)).status is ReplyStatus.withdrawn
