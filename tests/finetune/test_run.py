import asyncio

import pytest

from finetune.run import (
    RunActiveError,
    active_run,
    cancel_run,
    count_new_examples,
    is_due_by_count,
    request_run,
)
from store import Database, Dataset, Run, RunState, Verdict
from store.switches import set_switch
from tests.finetune.shop import approve


async def request(database: Database) -> Run:
    return await request_run(
        database, trigger="command", requested_by="ada", base_model="some-model"
    )


async def end(database: Database, run: Run, state: RunState, dataset_id: int | None = None) -> None:
    async with database.write() as session:
        row = await session.get_one(Run, run.id)
        row.state, row.is_active, row.dataset_id = state, False, dataset_id


async def test_one_run_at_a_time_whoever_asks(any_database: Database) -> None:
    asked = await asyncio.gather(*(request(any_database) for _ in range(4)), return_exceptions=True)
    runs = [run for run in asked if isinstance(run, Run)]
    assert len(runs) == 1
    refused = [error for error in asked if isinstance(error, RunActiveError)]
    assert len(refused) == 3
    assert f"run {runs[0].id} is collecting" in str(refused[0])


async def test_the_next_run_can_be_asked_for_when_one_has_ended(database: Database) -> None:
    first = await request(database)
    await end(database, first, RunState.refused)
    assert (await request(database)).id != first.id


async def test_a_run_that_has_ended_cannot_be_cancelled(database: Database) -> None:
    run = await request(database)
    assert await cancel_run(database, run.id, "ada")
    await end(database, run, RunState.cancelled)
    assert not await cancel_run(database, run.id, "ada")


async def test_new_examples_are_what_was_approved_since_the_last_run(database: Database) -> None:
    async def count() -> int:
        async with database.read() as session:
            return await count_new_examples(session)

    assert await count() == 0
    await approve(database, "One?", "1")
    await approve(database, "Two?", "2", verdict=Verdict.edited)
    await approve(database, "Three?", "3", verdict=Verdict.rejected)
    await approve(database, "Four?", "4", verdict=None)
    assert await count() == 2

    too_few = await request(database)
    await end(database, too_few, RunState.skipped)
    assert await count() == 2, "a run that froze nothing has learnt nothing"

    run = await request(database)
    async with database.write() as session:
        session.add(Dataset(id=1, version=1, sha256="a", train_count=10, holdout_count=2))
    await end(database, run, RunState.promoted, dataset_id=1)
    assert await count() == 0
    await approve(database, "Five?", "5")
    assert await count() == 1


async def test_enough_new_examples_are_a_reason_for_a_run(database: Database) -> None:
    async def is_due() -> bool:
        async with database.read() as session:
            return await is_due_by_count(session)

    async def switch(value: int) -> None:
        async with database.write() as session:
            await set_switch(session, "retrain_min_examples", value, who="ada")

    await switch(2)
    await approve(database, "One?", "1")
    assert not await is_due()
    await approve(database, "Two?", "2")
    assert await is_due()
    await switch(0)
    assert not await is_due(), "0 is never"
    await switch(1)
    await request(database)
    assert not await is_due(), "one is under way"
    async with database.read() as session:
        assert await active_run(session) is not None


@pytest.mark.parametrize("state", [RunState.skipped, RunState.failed, RunState.cancelled])
async def test_a_run_that_came_to_nothing_is_not_begun_again_by_the_same_count(
    database: Database, state: RunState
) -> None:
    async def is_due() -> bool:
        async with database.read() as session:
            return await is_due_by_count(session)

    async with database.write() as session:
        await set_switch(session, "retrain_min_examples", 2, who="ada")
    await approve(database, "One?", "1")
    await approve(database, "Two?", "2")
    assert await is_due()
    await end(database, await request(database), state)
    assert not await is_due()
    await approve(database, "Three?", "3")
    await approve(database, "Four?", "4")
    assert await is_due()


async def test_a_clock_that_found_too_little_takes_nothing_from_the_count(
    database: Database,
) -> None:
    async with database.write() as session:
        await set_switch(session, "retrain_min_examples", 2, who="ada")
    await approve(database, "One?", "1")
    run = await request_run(
        database, trigger="schedule", requested_by="scheduler", base_model="some-model"
    )
    await end(database, run, RunState.skipped)
    await approve(database, "Two?", "2")
    async with database.read() as session:
        assert await is_due_by_count(session)


@pytest.mark.parametrize("hyperparameters", [None, {"n_epochs": 3}])
async def test_hyperparameters_are_kept_with_the_run(
    database: Database, hyperparameters: dict[str, int] | None
) -> None:
    run = await request_run(
        database,
        trigger="console",
        requested_by="ada",
        base_model="some-model",
        hyperparameters=hyperparameters,
    )
    assert run.hyperparameters == (hyperparameters or {})
