"""What hangs on a changed verdict: the approved reply that was repeated, the second look."""

import pytest
from sqlalchemy import select

from store import SecondLook, SecondLookState, Verdict
from tests.bot.conftest import Teach
from tests.bot.running_bot import Bot
from tests.bot.verdicts import (
    ANSWER,
    EDIT,
    QUESTION,
    change,
    deliver,
    judge,
    known,
    put_ready,
    review_of,
    undo,
)


@pytest.mark.parametrize("how", ["undone", "approved"])
async def test_an_approved_reply_that_was_struck_with_its_repetition_comes_back_with_it(
    bot: Bot, teach: Teach, how: str
) -> None:
    source = await teach(QUESTION, EDIT)
    await bot.hear(QUESTION)
    assert await deliver(bot, 1) == [EDIT]
    (reply,) = await bot.replies()
    review = await judge(bot, reply.id, Verdict.rejected)
    assert await known(bot) is None
    if how == "undone":
        await undo(bot, review)
    else:
        await change(bot, review, Verdict.approved)
    restored = await review_of(bot, source)
    assert restored is not None
    assert (restored.verdict, restored.text, restored.reason) == (Verdict.edited, EDIT, "")
    assert await known(bot) == EDIT


async def test_an_approved_reply_that_was_changed_since_it_was_repeated_is_not_struck(
    bot: Bot, teach: Teach
) -> None:
    source = await teach(QUESTION, EDIT)
    await bot.hear(QUESTION)
    await deliver(bot, 1)
    (reply,) = await bot.replies()
    seen = await review_of(bot, source)
    assert seen is not None
    await change(bot, seen, Verdict.edited, "Six days.")
    await judge(bot, reply.id, Verdict.rejected)
    assert await known(bot) == "Six days."


async def look_at(bot: Bot, reply_id: int) -> SecondLook | None:
    async with bot.database.read() as session:
        return await session.scalar(select(SecondLook).where(SecondLook.reply_id == reply_id))


async def put_look(bot: Bot, reply_id: int, state: SecondLookState) -> None:
    async with bot.database.write() as session:
        session.add(SecondLook(reply_id=reply_id, state=state))
    await bot.knowledge.learn(reply_id)


async def test_what_was_set_aside_stays_so_whoever_changes_its_verdict(bot: Bot) -> None:
    review = await judge(bot, await put_ready(bot.database), Verdict.approved)
    await put_look(bot, review.reply_id, SecondLookState.aside)
    review = await change(bot, review, Verdict.edited, EDIT)
    assert await known(bot) is None
    review = await change(bot, review, Verdict.rejected)
    look = await look_at(bot, review.reply_id)
    assert look is not None
    assert (look.state, look.decided_by) == (SecondLookState.struck, "omar")
    await undo(bot, review)
    await judge(bot, review.reply_id, Verdict.approved)
    look = await look_at(bot, review.reply_id)
    assert look is not None
    assert (look.state, look.decided_by) == (SecondLookState.aside, None)
    assert await known(bot) is None


async def test_a_release_counts_for_the_words_that_were_looked_at_alone(bot: Bot) -> None:
    review = await judge(bot, await put_ready(bot.database), Verdict.approved)
    await put_look(bot, review.reply_id, SecondLookState.released)
    review = await change(bot, review, Verdict.edited, ANSWER)
    assert await look_at(bot, review.reply_id) is not None
    await change(bot, review, Verdict.edited, EDIT)
    assert await look_at(bot, review.reply_id) is None
