import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select

from finetune.promote import PromoteError, live_version, promote, roll_back
from store import AuditEntry, Database, ModelVersion, Stage, utc_now


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
