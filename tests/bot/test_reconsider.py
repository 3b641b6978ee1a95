"""A verdict that is changed later, or taken back: what follows, and what stays."""

import asyncio

import pytest
from sqlalchemy import select

from bot.effect import original_text
from bot.reconsider import change_verdict, take_back
from bot.review import (
    NoSuchReplyError,
    ReviewChangedError,
    ReviewError,
    decide,
)
from bot.tags import set_tags
from bot.turns import append_turn, lock_conversation
from store import (
    AuditEntry,
    Database,
    Reply,
    ReplyStatus,
    Review,
    Role,
    Verdict,
    Way,
)
from tests.bot.running_bot import Bot
from tests.bot.test_review_unsent import ANSWER, QUESTION, put_ready

EDIT = "Five days."


async def put_held(database: Database, address: str = "ann") -> int:
    """A question, and its answer that waits for a verdict; the reply's id."""
    async with database.write() as session:
        conversation = await session.run_sync(lock_conversation, "test", address)
        turn = await session.run_sync(append_turn, conversation.id, Role.customer, QUESTION)
        reply = Reply(
            conversation_id=conversation.id,
            turn_id=turn.id,
            draft=ANSWER,
            text=ANSWER,
            status=ReplyStatus.held,
            needs_review=True,
            way=Way.base,
        )
        session.add(reply)
        await session.flush()
        return reply.id


async def judge(
    bot: Bot, reply_id: int, verdict: Verdict, text: str | None = None, who: str = "rita"
) -> Review:
    return await decide(bot.database, bot.knowledge, reply_id, verdict, text=text, reviewer=who)


async def change(
    bot: Bot, seen: Review, verdict: Verdict, text: str | None = None, who: str = "omar"
) -> Review:
    return await change_verdict(
        bot.database, bot.knowledge, seen.reply_id, verdict, seen=seen, text=text, reviewer=who
    )


async def undo(bot: Bot, seen: Review, who: str = "rita") -> Reply:
    return await take_back(bot.database, bot.knowledge, seen.reply_id, seen=seen, who=who)


async def reply_of(bot: Bot, reply_id: int) -> Reply:
    async with bot.database.read() as session:
        return await session.get_one(Reply, reply_id)


async def review_of(bot: Bot, reply_id: int) -> Review | None:
    async with bot.database.read() as session:
        return await session.scalar(select(Review).where(Review.reply_id == reply_id))


async def known(bot: Bot) -> str | None:
    """What the question is answered with, word for word, also after a look at every row."""
    match = await bot.knowledge.nearest_approved(QUESTION)
    await bot.knowledge.sync()
    again = await bot.knowledge.nearest_approved(QUESTION)
    assert (match and match.answer) == (again and again.answer)
    return match.answer if match and match.similarity == 1.0 else None


async def found_by_words_and_meaning(bot: Bot) -> list[str]:
    return [chunk.text for chunk in await bot.knowledge.retrieve(QUESTION)]


async def deliver(bot: Bot, count: int) -> list[str]:
    async with bot.at_work():
        return await bot.delivered(count)


async def changes(bot: Bot) -> list[tuple[str, str, str]]:
    wanted = select(AuditEntry).where(AuditEntry.action == "change_verdict").order_by(AuditEntry.id)
    async with bot.database.read() as session:
        entries = await session.scalars(wanted)
        return [(each.who, each.detail["before"], each.detail["after"]) for each in entries]


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
