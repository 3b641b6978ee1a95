"""A person's verdict, and a person's own words."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select

from app.pairs import Pair, import_pairs
from bot.review import (
    AlreadyReviewedError,
    NoSuchConversationError,
    NoSuchReplyError,
    ReviewError,
    answer_as_person,
    decide,
    give_back,
    take_over,
)
from store import (
    AuditEntry,
    Reply,
    ReplyStatus,
    Review,
    Role,
    TurnState,
    Verdict,
    Way,
    conversation_id,
)
from tests.bot.conftest import Teach
from tests.bot.running_bot import Bot, eventually

QUESTION = "How long does delivery of a mattress take?"
ANN = conversation_id("test", "ann")


@pytest.fixture
async def held(bot: Bot) -> Reply:
    """A draft that waits for a verdict."""
    await bot.switch("mode", "base")
    await bot.switch("policy", "hold")
    await bot.hear(QUESTION)

    async def is_there() -> bool:
        return bool(await bot.replies())

    async with bot.at_work():
        await eventually(is_there)
    await bot.switch("policy", "send")
    await bot.switch("mode", "auto")
    return (await bot.replies())[0]


async def judge(bot: Bot, reply: Reply, verdict: Verdict, text: str | None = None) -> Review:
    return await decide(bot.database, bot.knowledge, reply.id, verdict, text=text, reviewer="rita")


async def test_an_approved_draft_is_sent_and_answers_the_same_question_at_once(
    bot: Bot, held: Reply
) -> None:
    await judge(bot, held, Verdict.approved)
    async with bot.at_work():
        assert await bot.delivered(1) == [held.text]
        await bot.hear("how long does delivery of a mattress take", address="bob")
        assert await bot.delivered(2) == [held.text, held.text]
    (reply,) = await bot.replies("bob")
    assert (reply.way, reply.needs_review) == (Way.approved, False)


async def test_an_edited_draft_is_sent_as_edited_and_keeps_the_models_words(
    bot: Bot, held: Reply
) -> None:
    await judge(bot, held, Verdict.edited, "Five days.")
    async with bot.at_work():
        assert await bot.delivered(1) == ["Five days."]
    (reply,) = await bot.replies()
    assert (reply.text, reply.draft, reply.needs_review) == ("Five days.", held.draft, False)
    assert [turn.text for turn in await bot.turns()] == [QUESTION, "Five days."]


async def test_other_phrasings_are_learned_with_it(bot: Bot, held: Reply) -> None:
    await decide(
        bot.database,
        bot.knowledge,
        held.id,
        Verdict.edited,
        text="Five days.",
        phrasings=["When does my parcel arrive?", " "],
        reviewer="rita",
    )
    match = await bot.knowledge.nearest_approved("when does my parcel arrive")
    assert match is not None
    assert (match.answer, match.similarity) == ("Five days.", 1.0)


async def test_a_rejected_draft_is_never_sent_and_a_person_is_asked(bot: Bot, held: Reply) -> None:
    await judge(bot, held, Verdict.rejected)
    async with bot.at_work():
        await asyncio.sleep(0.05)
    assert bot.channel.taken == []
    assert (await bot.replies())[0].status is ReplyStatus.withdrawn
    assert (await bot.conversation()).wants_person_at is not None
    assert await bot.knowledge.nearest_approved(QUESTION) is None


async def test_a_verdict_on_what_was_sent_changes_nothing_but_what_is_known(bot: Bot) -> None:
    await bot.switch("mode", "base")
    await bot.hear(QUESTION)
    async with bot.at_work():
        (before,) = await bot.delivered(1)
    (reply,) = await bot.replies()
    await judge(bot, reply, Verdict.edited, "Five days.")
    (after,) = await bot.replies()
    assert (after.text, after.status, after.needs_review) == (before, ReplyStatus.sent, False)
    assert [turn.text for turn in await bot.turns()] == [QUESTION, before]
    match = await bot.knowledge.nearest_approved(QUESTION)
    assert match is not None
    assert match.answer == "Five days."


async def test_the_same_verdict_twice_is_one_and_another_names_who_was_faster(
    bot: Bot, held: Reply
) -> None:
    first = await judge(bot, held, Verdict.approved)
    assert (await judge(bot, held, Verdict.approved)).id == first.id
    with pytest.raises(AlreadyReviewedError, match="rita has approved this reply already, on 20"):
        await decide(bot.database, bot.knowledge, held.id, Verdict.rejected, reviewer="otto")
    async with bot.at_work():
        await bot.delivered(1)
    assert len(bot.channel.taken) == 1


async def test_two_reviewers_at_once_one_verdict(bot_anywhere: Bot) -> None:
    bot = bot_anywhere
    await bot.switch("policy", "hold")
    await bot.switch("mode", "base")
    await bot.hear(QUESTION)

    async def is_there() -> bool:
        return bool(await bot.replies())

    async with bot.at_work():
        await eventually(is_there)
    (reply,) = await bot.replies()
    outcomes = await asyncio.gather(
        *(
            decide(bot.database, bot.knowledge, reply.id, Verdict.approved, reviewer=name)
            for name in ("rita", "otto", "olga")
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Review) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, AlreadyReviewedError) for outcome in outcomes) == 2


async def test_a_word_for_word_reply_that_is_rejected_is_not_given_again(
    bot: Bot, teach: Teach
) -> None:
    await teach(QUESTION, "Five days.")
    await bot.hear(QUESTION)
    async with bot.at_work():
        await bot.delivered(1)
    (reply,) = await bot.replies()
    await judge(bot, reply, Verdict.rejected)
    assert await bot.knowledge.nearest_approved(QUESTION) is None
    await bot.knowledge.sync()
    assert await bot.knowledge.nearest_approved(QUESTION) is None


async def test_what_was_approved_before_a_crash_is_learned_at_the_next_start(
    bot: Bot, held: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(bot.knowledge, "learn", None)
        with pytest.raises(TypeError):
            await judge(bot, held, Verdict.approved)
    await bot.knowledge.sync()
    assert await bot.knowledge.nearest_approved(QUESTION) is not None


@pytest.mark.parametrize(
    ("verdict", "text"),
    [(Verdict.edited, None), (Verdict.edited, "  "), (Verdict.approved, "other words")],
)
async def test_a_text_that_does_not_fit_the_verdict_is_refused(
    bot: Bot, held: Reply, verdict: Verdict, text: str | None
) -> None:
    with pytest.raises(ReviewError):
        await judge(bot, held, verdict, text)
    assert (await bot.replies())[0].status is ReplyStatus.held


async def test_a_person_takes_over_answers_and_gives_back(bot: Bot, held: Reply) -> None:
    await take_over(bot.database, ANN, who="rita")
    await bot.hear("Hello?")
    await answer_as_person(bot.database, ANN, "Rita here.", who="rita")
    async with bot.at_work():
        assert await bot.delivered(1) == ["Rita here."]
        await give_back(bot.database, ANN, who="rita")
    withdrawn, answer = await bot.replies()
    assert (withdrawn.status, withdrawn.needs_review) == (ReplyStatus.withdrawn, False)
    assert (answer.way, answer.status) == (Way.person, ReplyStatus.sent)
    turns = await bot.turns()
    assert [turn.role for turn in turns] == [Role.customer, Role.customer, Role.person]
    assert {turn.state for turn in turns} == {TurnState.answered}
    async with bot.database.read() as session:
        done = list(await session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))
    assert done[-3:] == ["take_over", "answer_as_person", "give_back"]


async def test_an_answer_in_the_making_is_dropped_when_a_person_speaks(
    bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()
    answer = bot.answerer.answer

    async def slow_answer(*args: object, **kwargs: object) -> object:
        reached.set()
        await go_on.wait()
        return await answer(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(bot.answerer, "answer", slow_answer)
    await bot.hear(QUESTION)
    async with bot.at_work():
        await reached.wait()
        await answer_as_person(bot.database, ANN, "Rita here.", who="rita")
        go_on.set()
        await bot.delivered(1)
    assert bot.channel.texts == ["Rita here."]


async def test_what_does_not_exist_is_named(bot: Bot) -> None:
    with pytest.raises(NoSuchReplyError, match="no reply 99"):
        await decide(bot.database, bot.knowledge, 99, Verdict.approved, reviewer="rita")
    with pytest.raises(NoSuchConversationError, match="nowhere"):
        await take_over(bot.database, "nowhere", who="rita")


async def test_the_phrasings_of_an_imported_pair_are_approved_with_it(
    bot: Bot, tmp_path: Path
) -> None:
    pairs = [
        Pair(question="Do you deliver?", answer="Yes.", phrasings=["Is there delivery?"]),
        Pair(question="Is it soft?", answer="No.", phrasings=["Is it hard?", "Firm?"]),
    ]
    await import_pairs(bot.database, pairs, channel="import", source="pairs.jsonl")
    async with bot.database.read() as session:
        first, second = await session.scalars(select(Reply).order_by(Reply.id))
    await judge(bot, first, Verdict.approved)
    await decide(
        bot.database, bot.knowledge, second.id, Verdict.approved, phrasings=["Firm?"], reviewer="r"
    )
    for question, is_known in (
        ("Is there delivery?", True),
        ("Firm?", True),
        ("Is it hard?", False),
    ):
        match = await bot.knowledge.nearest_approved(question)
        assert (match is not None and match.similarity == 1.0) is is_known
