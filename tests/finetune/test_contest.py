"""Two base models train on one dataset; the better one goes through the gate."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from finetune.announce import Recipients
from finetune.contest import Contest
from finetune.gate import GateOptions
from finetune.run import cancel_run, request_run
from store import Database, ModelVersion, Run, RunState, Stage
from tests.finetune.shop import BASE_MODEL, Shop, approve_many, open_shop
from tests.modelserver_process import running_modelserver

OTHER = "other-base"


@pytest.fixture
def two_bases_url(tmp_path: Path) -> Iterator[str]:
    with running_modelserver(tmp_path / "two", "--base", BASE_MODEL, "--base", OTHER) as server:
        yield server.url


async def hold(shop: Shop, rival: str) -> list[Run]:
    await shop.knowledge.sync()
    await request_run(
        shop.database,
        trigger="command",
        requested_by="ada",
        base_model=BASE_MODEL,
        rivals=[rival],
    )
    return await run_all(shop)


async def run_all(shop: Shop) -> list[Run]:
    await shop.run_to_the_end()
    async with shop.database.read() as session:
        begun = await session.scalar(select(Run.id).where(Run.is_active))
    if begun is not None:
        await shop.run_to_the_end()
    async with shop.database.read() as session:
        return list(await session.scalars(select(Run).order_by(Run.id)))


async def test_the_better_one_of_two_bases_is_promoted_and_the_other_stays_a_candidate(
    database: Database, tmp_path: Path, two_bases_url: str
) -> None:
    await approve_many(database)
    async with open_shop(database, tmp_path, two_bases_url) as shop:
        first, second = await hold(shop, OTHER)
        await shop.clean_up()
        files = [file async for file in shop.client.files.list(purpose="fine-tune")]
    assert [first.base_model, second.base_model] == [BASE_MODEL, OTHER]
    assert first.dataset_id == second.dataset_id
    assert first.contest_id == second.contest_id == first.id
    # The stub learns by heart on any base: among equals the first one wins.
    assert [first.state, second.state] == [RunState.promoted, RunState.refused]
    assert f"{BASE_MODEL} came out ahead of {OTHER}" in first.verdict["reasons"][0]
    assert f"run {first.id} on {BASE_MODEL} came out ahead" in second.verdict["reasons"][0]
    async with database.read() as session:
        rows = await session.execute(select(ModelVersion.run_id, ModelVersion.stage))
        stages = {run_id: stage for run_id, stage in rows}  # noqa: C416 - rows are no tuples
    assert stages == {first.id: Stage.live, second.id: Stage.candidate}
    assert files == []


async def test_a_base_that_cannot_be_trained_does_not_spoil_the_other(
    database: Database, tmp_path: Path, modelserver_url: str
) -> None:
    await approve_many(database)
    async with open_shop(database, tmp_path, modelserver_url) as shop:
        first, second = await hold(shop, "no-such-base")
    assert [first.state, second.state] == [RunState.promoted, RunState.failed]
    assert "no-such-base" in (second.error or "")
    assert "NOD_BASE_MODEL" in (second.error or "")


async def test_cancelling_the_second_ends_the_contest_and_promotes_nothing(
    database: Database, tmp_path: Path, modelserver_url: str
) -> None:
    await approve_many(database)
    async with open_shop(database, tmp_path, modelserver_url) as shop:
        await shop.knowledge.sync()
        await request_run(
            database,
            trigger="command",
            requested_by="ada",
            base_model=BASE_MODEL,
            rivals=["next"],
        )
        entered = await shop.run_to_the_end()
        assert entered.state is RunState.entered
        assert await cancel_run(database, entered.id + 1, "ada")
        first, second = await run_all(shop)
    assert [first.state, second.state] == [RunState.refused, RunState.cancelled]
    assert "cancelled by ada" in first.verdict["reasons"][0]
    async with database.read() as session:
        assert (await session.scalars(select(ModelVersion.stage))).all() == [Stage.candidate]


async def test_a_contest_whose_questions_were_all_forgotten_ends_undecided(
    database: Database,
) -> None:
    async with database.write() as session:
        for _ in range(2):
            run = Run(trigger="command", base_model="m", contest_id=1, is_active=False)
            run.state = RunState.entered
            session.add(run)
        await session.flush()
        await Contest(Recipients(), GateOptions()).go_on(session, run)
    async with database.read() as session:
        runs = list(await session.scalars(select(Run)))
    assert [run.state for run in runs] == [RunState.refused] * 2
    assert "forgotten" in runs[0].verdict["reasons"][0]
