import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select

from finetune.gate import Decision
from finetune.outcome import carry_out
from finetune.promote import (
    PromoteError,
    TaintedError,
    live_version,
    promote,
    roll_back,
    start_canary,
)
from store import AuditEntry, Database, ModelVersion, Run, RunState, Stage, utc_now
from store.switches import set_switch


async def add_versions(database: Database, count: int) -> list[int]:
    versions = [ModelVersion(model=f"ft:m{n}", base_model="m") for n in range(count)]
    async with database.write() as session:
        session.add_all(versions)
    return [version.id for version in versions]


async def promote_now(database: Database, version_id: int) -> None:
    async with database.write() as session:
        await promote(session, version_id, "ada")


async def roll_back_now(database: Database) -> str | None:
    async with database.write() as session:
        version = await roll_back(session, "ada")
    return version.model if version else None


async def live_model(database: Database) -> str | None:
    async with database.read() as session:
        version = await live_version(session)
    return version.model if version else None


async def test_one_version_is_live_at_a_time(any_database: Database) -> None:
    first, second = await add_versions(any_database, 2)
    await promote_now(any_database, first)
    await promote_now(any_database, second)
    async with any_database.read() as session:
        stages = dict((await session.execute(select(ModelVersion.id, ModelVersion.stage))).all())
    assert stages == {first: Stage.retired, second: Stage.live}


async def test_rolling_back_goes_to_what_was_live_before_and_then_to_none(
    database: Database,
) -> None:
    first, second = await add_versions(database, 2)
    await promote_now(database, first)
    await promote_now(database, second)
    assert await roll_back_now(database) == "ft:m0"
    assert await roll_back_now(database) is None
    with pytest.raises(PromoteError, match="no tuned model is live"):
        await roll_back_now(database)


async def test_a_version_that_was_rolled_back_is_not_what_was_live_before(
    database: Database,
) -> None:
    good, bad, newer = await add_versions(database, 3)
    for version_id in (good, bad):
        await promote_now(database, version_id)
    await roll_back_now(database)
    await promote_now(database, newer)
    assert await roll_back_now(database) == "ft:m0"


async def test_a_candidate_that_was_never_live_is_never_rolled_back_to(database: Database) -> None:
    live, never = await add_versions(database, 2)
    async with database.write() as session:
        version = await session.get_one(ModelVersion, never)
        version.stage, version.retired_at = Stage.retired, utc_now() - timedelta(days=1)
    await promote_now(database, live)
    assert await roll_back_now(database) is None


async def test_two_people_who_promote_at_once_leave_one_version_live(
    any_database: Database,
) -> None:
    first, second = await add_versions(any_database, 2)
    await asyncio.gather(
        promote_now(any_database, first),
        promote_now(any_database, second),
        return_exceptions=True,  # on PostgreSQL the index may refuse the slower one
    )
    async with any_database.read() as session:
        live = await session.scalars(select(ModelVersion).where(ModelVersion.stage == Stage.live))
        assert len(live.all()) == 1


async def test_promoting_again_changes_and_logs_nothing(database: Database) -> None:
    [version_id] = await add_versions(database, 1)
    await promote_now(database, version_id)
    await promote_now(database, version_id)
    async with database.read() as session:
        entries = (await session.scalars(select(AuditEntry))).all()
    assert [(e.who, e.action, e.detail) for e in entries] == [
        ("ada", "promote", {"from": None, "to": "ft:m0"})
    ]


async def test_an_unknown_version_is_named(database: Database) -> None:
    with pytest.raises(PromoteError, match="no model version 7"):
        await promote_now(database, 7)
    assert await live_model(database) is None


async def taint(database: Database, version_id: int) -> None:
    async with database.write() as session:
        (await session.get_one(ModelVersion, version_id)).tainted_at = utc_now()


async def test_a_tainted_version_goes_live_only_if_a_person_says_so_knowing_it(
    database: Database,
) -> None:
    [version_id] = await add_versions(database, 1)
    await taint(database, version_id)
    with pytest.raises(TaintedError, match=r"1 \(ft:m0\) was trained on a conversation that was"):
        await promote_now(database, version_id)
    assert await live_model(database) is None
    async with database.write() as session:
        await promote(session, version_id, "ada", even_tainted=True)
    assert await live_model(database) == "ft:m0"
    async with database.read() as session:
        [entry] = await session.scalars(select(AuditEntry))
    assert entry.detail == {"from": None, "to": "ft:m0", "tainted": True}


async def test_a_roll_back_goes_no_further_than_what_was_seen(any_database: Database) -> None:
    """A second click, or one after a promotion."""
    first, second, third = await add_versions(any_database, 3)
    for version in (first, second, third):
        await promote_now(any_database, version)

    async def click() -> None:
        async with any_database.write() as session:
            await roll_back(session, "ada", seen=third)

    await click()
    with pytest.raises(PromoteError, match="ft:m1 went live meanwhile"):
        await click()
    assert await live_model(any_database) == "ft:m1"


async def test_a_roll_back_to_a_tainted_version_asks_and_leaves_all_as_it_was(
    database: Database,
) -> None:
    first, second = await add_versions(database, 2)
    await promote_now(database, first)
    await promote_now(database, second)
    await taint(database, first)
    with pytest.raises(TaintedError):
        await roll_back_now(database)
    assert await live_model(database) == "ft:m1"
    async with database.write() as session:
        await roll_back(session, "ada", even_tainted=True)
    assert await live_model(database) == "ft:m0"


async def test_rolling_back_from_a_tainted_version_asks_nothing(database: Database) -> None:
    first, second = await add_versions(database, 2)
    await promote_now(database, first)
    await promote_now(database, second)
    await taint(database, second)
    assert await roll_back_now(database) == "ft:m0"


@pytest.mark.parametrize("share", [0.0, 0.3])
async def test_a_tainted_candidate_reaches_no_customer_however_good_it_is(
    database: Database, share: float
) -> None:
    [version_id] = await add_versions(database, 1)
    await taint(database, version_id)
    run = Run(trigger="schedule", base_model="m", tuned_model="ft:m0", verdict={"live_id": None})
    better = Decision(promote=True, asks_person=False, reasons=["better"], conversations=40)
    async with database.write() as session:
        session.add(run)
        await set_switch(session, "canary_share", share, who="ada")
        state, reasons = await carry_out(session, run, better)
    assert state is RunState.refused
    assert "was forgotten meanwhile" in reasons[0]
    with pytest.raises(PromoteError, match="was trained on a conversation that was forgotten"):
        async with database.write() as session:
            await start_canary(session, version_id, "ada")
    async with database.read() as session:
        [version] = await session.scalars(select(ModelVersion))
    assert version.stage is Stage.candidate


async def test_a_roll_back_during_a_promotion_follows_it(any_database: Database) -> None:
    first, second = await add_versions(any_database, 2)
    await promote_now(any_database, first)
    async with any_database.write() as session:
        await promote(session, second, "run 2")
        rolling_back = asyncio.create_task(roll_back_now(any_database))
        await asyncio.sleep(0.3)
    assert await rolling_back == "ft:m0"
    assert await live_model(any_database) == "ft:m0"


async def test_a_first_promotion_during_another_is_refused_in_words_or_follows_it(
    any_database: Database,
) -> None:
    first, second = await add_versions(any_database, 2)
    async with any_database.write() as session:
        await promote(session, first, "run 1")
        promoting = asyncio.create_task(promote_now(any_database, second))
        await asyncio.sleep(0.3)
    [refusal] = await asyncio.gather(promoting, return_exceptions=True)
    if refusal is None:
        assert await live_model(any_database) == "ft:m1"
    else:
        assert isinstance(refusal, PromoteError)
        assert await live_model(any_database) == "ft:m0"
