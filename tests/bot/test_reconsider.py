"""A verdict that is changed later, or taken back: what follows, and what stays."""

import asyncio

import pytest
from sqlalchemy import select, update

from bot.effect import original_text
from bot.reconsider import change_verdict, take_back
from bot.review import (
    NoSuchReplyError,
    ReviewChangedError,
    ReviewError,
    answer_as_person,
    decide,
)
from bot.tags import set_tags
from bot.turns import append_turn, lock_conversation
from store import (
    AuditEntry,
    Conversation,
    Database,
    Reply,
    ReplyStatus,
    Review,
    Role,
    SecondLook,
    SecondLookState,
    Verdict,
    Way,
)
from tests.bot.conftest import Teach
from tests.bot.running_bot import Bot, eventually
from tests.bot.test_review_unsent import ANSWER, QUESTION, put_ready

EDIT = "Five days."


async def put_held(database: Database, address: str = "ann") -> int:
    """A question, and its answer that waits for a verdict; the reply's id."""
    async with database.write() as session:
        conversation = await lock_conversation(session, "test", address)
        turn = await append_turn(session, conversation.id, Role.customer, QUESTION)
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


async def test_a_customer_who_began_afresh_does_not_get_what_was_rejected_before(bot: Bot) -> None:
    review = await judge(bot, await put_held(bot.database), Verdict.rejected)
    async with bot.database.write() as session:
        await session.execute(update(Conversation).values(context_from_seq=2))
    await change(bot, review, Verdict.approved)
    assert (await reply_of(bot, review.reply_id)).status is ReplyStatus.withdrawn


async def test_a_change_that_makes_no_sense_is_refused(bot: Bot) -> None:
    review = await judge(bot, await put_ready(bot.database), Verdict.approved)
    with pytest.raises(ReviewError, match="needs its new text"):
        await change(bot, review, Verdict.edited, " ")
    with pytest.raises(NoSuchReplyError, match="no reply 99"):
        await take_back(bot.database, bot.knowledge, 99, seen=review, who="rita")
    assert await known(bot) == ANSWER
