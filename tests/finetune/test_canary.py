"""What customers and reviewers say of a canary decides it."""

import random
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import select

from finetune.announce import Recipients
from finetune.canary import Canary, CanaryOptions, read_standing
from finetune.promote import (
    PromoteError,
    canary_version,
    live_version,
    promote,
    roll_back,
    start_canary,
)
from store import (
    Announcement,
    AuditEntry,
    Conversation,
    Database,
    ModelVersion,
    Reply,
    ReplyStatus,
    Review,
    Run,
    RunState,
    Stage,
    Thumb,
    Verdict,
    Way,
    conversation_id,
    utc_now,
)
from store.switches import set_switch
from tests.finetune.shop import Shop
from tests.finetune.test_retrain import request

OPTIONS = CanaryOptions(first_look=10)
LIVE, CANDIDATE = 1, 2


@pytest.fixture
async def canary(database: Database) -> Canary:
    """A candidate beside a live model, with a run that brought it here."""
    async with database.write() as session:
        run = Run(trigger="command", base_model="m", is_active=False, state=RunState.canary)
        session.add(run)
        await session.flush()
        session.add(ModelVersion(id=LIVE, model="ft:live", base_model="m"))
        session.add(ModelVersion(id=CANDIDATE, model="ft:new", base_model="m", run_id=run.id))
        await session.flush()
        await promote(session, LIVE, "ada")
        await start_canary(session, CANDIDATE, "run 1")
        await set_switch(session, "canary_share", 0.3, who="ada")
    return Canary(database, OPTIONS, Recipients(webhook_url="http://hook"))


async def judge(
    database: Database,
    offered: int | None,
    verdicts: Sequence[Verdict | bool],
    *,
    way: Way = Way.tuned,
    who: str = "",
    writes: bool = True,
) -> None:
    """One conversation each, with a review, or a thumb where it is a bool."""
    async with database.write() as session:
        for number, verdict in enumerate(verdicts):
            address = f"{offered}-{who}-{way}-{number}"
            key = conversation_id("web", address)
            session.add(Conversation(id=key, channel="web", address=address))
            await session.flush()
            reply = Reply(
                conversation_id=key,
                text="...",
                status=ReplyStatus.sent,
                way=way,
                offered_version_id=offered,
                model_version_id=offered if writes else None,
            )
            session.add(reply)
            await session.flush()
            if isinstance(verdict, bool):
                session.add(Thumb(reply_id=reply.id, is_up=verdict))
            else:
                session.add(Review(reply_id=reply.id, verdict=verdict, reviewer="rita"))


async def stages(database: Database) -> dict[int, Stage]:
    async with database.read() as session:
        rows = await session.execute(select(ModelVersion.id, ModelVersion.stage))
        return {key: stage for key, stage in rows}  # noqa: C416 - rows are no tuples


async def reason(database: Database) -> str:
    async with database.read() as session:
        version = await session.get_one(ModelVersion, CANDIDATE)
        return str(version.canary["reason"])


GOOD, BAD = [Verdict.approved] * 12, [Verdict.rejected] * 12


async def test_a_canary_that_customers_like_less_is_rolled_back(
    database: Database, canary: Canary
) -> None:
    await judge(database, CANDIDATE, [False] * 9 + [True] * 3)
    await judge(database, LIVE, [True] * 11 + [False])
    assert await canary.step()
    assert await stages(database) == {LIVE: Stage.live, CANDIDATE: Stage.retired}
    assert "rolled back: satisfaction differs by -0.67" in await reason(database)
    async with database.read() as session:
        run = (await session.scalars(select(Run))).one()
        told = (await session.scalars(select(Announcement))).one()
        actions = (await session.scalars(select(AuditEntry.action))).all()
    assert run.state is RunState.refused
    assert "rolled back" in run.verdict["reasons"][0]
    assert (told.key, told.recipient) == ("run.1.refused", "http://hook")
    assert actions[-1] == "end_canary"


async def test_a_canary_that_is_proven_goes_live(database: Database, canary: Canary) -> None:
    await judge(database, CANDIDATE, GOOD)
    await judge(database, LIVE, [Verdict.approved] * 6 + [Verdict.edited] * 6)
    assert await canary.step()
    assert await stages(database) == {LIVE: Stage.retired, CANDIDATE: Stage.live}
    async with database.read() as session:
        assert (await session.scalars(select(Run.state))).one() is RunState.promoted


async def test_a_canary_that_learnt_what_is_forgotten_meanwhile_ends_and_never_goes_live(
    database: Database, canary: Canary
) -> None:
    await judge(database, CANDIDATE, GOOD)
    await judge(database, LIVE, BAD)
    async with database.write() as session:
        (await session.get_one(ModelVersion, CANDIDATE)).tainted_at = utc_now()
    assert await canary.step()
    assert await stages(database) == {LIVE: Stage.live, CANDIDATE: Stage.candidate}
    assert "was forgotten meanwhile" in await reason(database)
    assert not await canary.step()


async def test_what_may_be_chance_decides_nothing_and_the_next_look_is_twice_as_far(
    database: Database, canary: Canary
) -> None:
    mixed = [Verdict.approved, Verdict.rejected] * 5
    await judge(database, CANDIDATE, mixed)
    await judge(database, LIVE, mixed)
    assert not await canary.step()
    assert "goes on after look 1" in await reason(database)
    await judge(database, CANDIDATE, [Verdict.rejected] * 9, who="more")
    await judge(database, LIVE, [Verdict.approved] * 9, who="more")
    assert not await canary.step(), "19 of 20"
    assert "goes on after look 1" in await reason(database)
    await judge(database, CANDIDATE, [Verdict.rejected], who="last")
    await judge(database, LIVE, [Verdict.approved], who="last")
    assert await canary.step()
    assert (await stages(database))[CANDIDATE] is Stage.retired


async def test_one_side_alone_says_nothing(database: Database, canary: Canary) -> None:
    await judge(database, CANDIDATE, BAD)
    assert not await canary.step()
    assert (await stages(database))[CANDIDATE] is Stage.canary


async def test_answers_that_no_model_wrote_say_nothing(database: Database, canary: Canary) -> None:
    await judge(database, CANDIDATE, BAD, way=Way.approved)
    await judge(database, LIVE, GOOD, way=Way.approved)
    assert not await canary.step()


async def test_a_canary_that_never_answered_itself_is_not_proven(
    database: Database, canary: Canary
) -> None:
    await judge(database, CANDIDATE, GOOD, way=Way.retrieval, writes=False)
    await judge(database, LIVE, GOOD)
    assert not await canary.step()
    assert "answered nothing itself" in await reason(database)


async def test_where_customer_and_reviewer_disagree_the_lower_one_counts(
    database: Database, canary: Canary
) -> None:
    await judge(database, CANDIDATE, [True])
    async with database.write() as session:
        reply = (await session.scalars(select(Reply))).one()
        session.add(Review(reply_id=reply.id, verdict=Verdict.edited, reviewer="rita"))
    async with database.read() as session:
        version = await canary_version(session)
        assert version is not None
        standing = await read_standing(session, version)
    assert [score for _, score in standing.canary.scores] == [0.5]


async def test_what_was_said_before_the_canary_began_does_not_count(
    database: Database, canary: Canary
) -> None:
    await judge(database, CANDIDATE, BAD)
    await judge(database, LIVE, GOOD)
    async with database.write() as session:
        for reply in await session.scalars(select(Reply)):
            reply.created_at = utc_now() - timedelta(hours=1)
    assert not await canary.step()


@pytest.mark.parametrize("has_one_before", [True, False])
async def test_a_live_model_that_was_rolled_back_is_not_what_a_canary_is_compared_with(
    database: Database, canary: Canary, has_one_before: bool
) -> None:
    async with database.write() as session:
        if has_one_before:
            session.add(ModelVersion(id=3, model="ft:bad", base_model="m"))
            await session.flush()
            await promote(session, 3, "ada")
    await judge(database, 3 if has_one_before else LIVE, BAD)
    await judge(database, CANDIDATE, [Verdict.edited] * 12)
    async with database.write() as session:
        await roll_back(session, "ada")
    assert not await canary.step(), "it is only better than what is gone"
    assert (await stages(database))[CANDIDATE] is Stage.canary
    await judge(database, LIVE if has_one_before else None, GOOD, who="since")
    await judge(database, CANDIDATE, BAD, who="since")
    assert await canary.step()
    assert (await stages(database))[CANDIDATE] is Stage.retired


async def test_without_a_share_a_canary_waits_and_after_a_month_it_ends_undecided(
    database: Database, canary: Canary
) -> None:
    await judge(database, CANDIDATE, BAD)
    await judge(database, LIVE, GOOD)
    async with database.write() as session:
        await set_switch(session, "canary_share", 0, who="ada")
    assert not await canary.step()
    async with database.write() as session:
        version = await session.get_one(ModelVersion, CANDIDATE)
        version.canary_from = utc_now() - timedelta(days=31)
    assert await canary.step()
    assert (await stages(database))[CANDIDATE] is Stage.candidate
    assert "a person may promote it" in await reason(database)


async def test_one_canary_at_a_time_and_none_of_what_is_live(
    database: Database, canary: Canary
) -> None:
    async with database.write() as session:
        session.add(ModelVersion(id=3, model="ft:newer", base_model="m"))
        await session.flush()
        await start_canary(session, 3, "ada")
    assert await stages(database) == {LIVE: Stage.live, CANDIDATE: Stage.retired, 3: Stage.canary}
    with pytest.raises(PromoteError, match="is live"):
        async with database.write() as session:
            await start_canary(session, LIVE, "ada")


async def test_a_model_that_is_no_worse_is_seldom_rolled_back_however_often_one_looks(
    database: Database, canary: Canary
) -> None:
    """The chance of error is spent over the looks: of 30 equal pairs at most a few go wrong."""
    from finetune.interval import unpaired_interval

    lot, wrong = random.Random(7), 0
    for _ in range(30):
        ours = [(f"a{n}", float(lot.random() < 0.7)) for n in range(80)]
        theirs = [(f"b{n}", float(lot.random() < 0.7)) for n in range(80)]
        for look in range(4):
            error = 0.05 / 2 ** (look + 1)
            seen = 10 * 2**look
            gain = unpaired_interval(ours[:seen], theirs[:seen], 1 - error)
            if gain is not None and gain.high < 0:
                wrong += 1
                break
    assert wrong <= 3
    async with database.read() as session:
        assert await live_version(session) is not None


async def test_with_a_share_a_better_candidate_is_tried_before_it_goes_live(shop: Shop) -> None:
    async with shop.database.write() as session:
        await set_switch(session, "canary_share", 0.2, who="ada")
    await request(shop.database)
    run = await shop.run_to_the_end()
    assert run.state is RunState.canary
    assert "20% of the conversations try it" in run.verdict["reasons"][0]
    async with shop.database.write() as session:
        assert await live_version(session) is None
        version = await canary_version(session)
        assert version is not None
        assert version.run_id == run.id
        await promote(session, version.id, "ada")
    async with shop.database.read() as session:
        ended = await session.get_one(Run, run.id)
        assert ended.state is RunState.promoted, "a person was faster than the canary"
