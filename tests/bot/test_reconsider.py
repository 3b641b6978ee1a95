"""A verdict that is changed later, or taken back: what follows, and what stays."""

import asyncio

import pytest

from bot.effect import original_text
from bot.reconsider import change_verdict, take_back
from bot.review import (
    NoSuchReplyError,
    ReviewChangedError,
    ReviewError,
)
from bot.tags import set_tags
from store import (
    ReplyStatus,
    Verdict,
)
from tests.bot.running_bot import Bot
from tests.bot.verdicts import (
    ANSWER,
    EDIT,
    change,
    changes,
    deliver,
    found_by_words_and_meaning,
    judge,
    known,
    put_held,
    put_ready,
    reply_of,
    review_of,
    undo,
)


async def test_an_approval_taken_back_is_unlearnt_and_waits_in_the_queue_again(bot: Bot) -> None:
    reply_id = await put_held(bot.database)
    review = await judge(bot, reply_id, Verdict.approved)
    assert await deliver(bot, 1) == [ANSWER]
    assert await known(bot) == ANSWER
    await undo(bot, review)
    assert await known(bot) is None
    assert await found_by_words_and_meaning(bot) == []
    assert await review_of(bot, reply_id) is None
    reply = await reply_of(bot, reply_id)
    assert (reply.needs_review, reply.status, reply.text) == (True, ReplyStatus.sent, ANSWER)
    assert await changes(bot) == [("rita", "approved by rita", "to be reviewed")]


async def test_taking_back_twice_is_taking_back_once(bot: Bot) -> None:
    review = await judge(bot, await put_held(bot.database), Verdict.approved)
    await undo(bot, review)
    await undo(bot, review)
    await undo(bot, review, who="omar")
    assert len(await changes(bot)) == 1


async def test_an_edit_after_an_approval_takes_its_place_and_keeps_the_tags(bot: Bot) -> None:
    reply_id = await put_ready(bot.database)
    review = await judge(bot, reply_id, Verdict.approved)
    async with bot.database.write() as session:
        await set_tags(session, reply_id, ["vip"], who="rita")
    changed = await change(bot, review, Verdict.edited, EDIT)
    assert (changed.verdict, changed.text, changed.tags) == (Verdict.edited, EDIT, ["vip"])
    assert changed.created_at > review.created_at, "it counts as new for the next retrain"
    assert await known(bot) == EDIT


async def test_approving_after_an_edit_approves_what_the_bot_wrote(bot: Bot) -> None:
    reply_id = await put_held(bot.database)
    review = await judge(bot, reply_id, Verdict.edited, EDIT)
    assert await deliver(bot, 1) == [EDIT]
    changed = await change(bot, review, Verdict.approved)
    assert changed.text == original_text(await reply_of(bot, reply_id)) == ANSWER
    assert await known(bot) == ANSWER
    assert (await reply_of(bot, reply_id)).text == EDIT, "the customer has it"


async def test_other_phrasings_alone_are_a_change_too(bot: Bot) -> None:
    review = await judge(bot, await put_ready(bot.database), Verdict.edited, EDIT)
    await change_verdict(
        bot.database,
        bot.knowledge,
        review.reply_id,
        Verdict.edited,
        seen=review,
        text=EDIT,
        phrasings=["When does it come?", " "],
        reviewer="rita",
    )
    match = await bot.knowledge.nearest_approved("when does it come")
    assert match is not None
    assert (match.answer, match.similarity) == (EDIT, 1.0)


async def test_the_same_change_twice_is_one(bot: Bot) -> None:
    review = await judge(bot, await put_ready(bot.database), Verdict.approved)
    first = await change(bot, review, Verdict.rejected)
    again = await change(bot, review, Verdict.rejected)
    assert again.created_at == first.created_at
    assert len(await changes(bot)) == 1


async def test_what_somebody_else_has_changed_is_neither_undone_nor_changed(bot: Bot) -> None:
    seen = await judge(bot, await put_ready(bot.database), Verdict.approved)
    changed = await change(bot, seen, Verdict.edited, EDIT)
    with pytest.raises(ReviewChangedError, match="omar has edited this reply, on 20"):
        await undo(bot, seen)
    with pytest.raises(ReviewChangedError):
        await change(bot, seen, Verdict.rejected, who="rita")
    await undo(bot, changed, who="omar")
    with pytest.raises(ReviewChangedError, match="waits in the review queue"):
        await change(bot, changed, Verdict.rejected)
    await judge(bot, seen.reply_id, Verdict.approved)  # the same verdict, but another one
    with pytest.raises(ReviewChangedError, match="rita has approved"):
        await undo(bot, seen)


async def test_of_reviewers_who_change_a_verdict_at_once_one_succeeds(bot_anywhere: Bot) -> None:
    bot = bot_anywhere
    seen = await judge(bot, await put_ready(bot.database), Verdict.approved)
    outcomes = await asyncio.gather(
        change(bot, seen, Verdict.rejected, who="omar"),
        change(bot, seen, Verdict.edited, EDIT, who="olga"),
        undo(bot, seen, who="rita"),
        return_exceptions=True,
    )
    lost = [outcome for outcome in outcomes if isinstance(outcome, ReviewChangedError)]
    # A change finds nothing to change, or another verdict; the undo may find that it is done.
    assert len(lost) == 2
    review = await review_of(bot, seen.reply_id)
    assert await known(bot) == (review.text if review else None)


async def test_a_change_that_makes_no_sense_is_refused(bot: Bot) -> None:
    review = await judge(bot, await put_ready(bot.database), Verdict.approved)
    with pytest.raises(ReviewError, match="needs its new text"):
        await change(bot, review, Verdict.edited, " ")
    with pytest.raises(NoSuchReplyError, match="no reply 99"):
        await take_back(bot.database, bot.knowledge, 99, seen=review, who="rita")
    assert await known(bot) == ANSWER
