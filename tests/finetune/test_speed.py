"""How fast training has been here, from what a run's trainer told."""

from datetime import UTC, datetime, timedelta

import pytest

from finetune.speed import read_speed
from store import Database, Run, RunEvent, RunState

BEGAN_AT = datetime(2026, 11, 20, 9, tzinfo=UTC)


async def add_run(
    database: Database, steps: list[tuple[float, int | None]], base: str = "small", **own: object
) -> int:
    """Args:
    steps: the seconds after which each was told, with the tokens that were trained by then.
    """
    values = {"state": RunState.promoted, "is_active": False, "trained_tokens": 9000} | own
    async with database.write() as session:
        run = Run(trigger="test", base_model=base, **values)
        session.add(run)
        await session.flush()
        session.add(RunEvent(run_id=run.id, message="Froze the dataset"))
        for number, (seconds, tokens) in enumerate(steps):
            session.add(
                RunEvent(
                    run_id=run.id,
                    provider_id=f"event-{number}",
                    message="a step",
                    data={"step": number} | ({"elapsed_tokens": tokens} if tokens else {}),
                    created_at=BEGAN_AT + timedelta(seconds=seconds),
                )
            )
        return run.id


async def test_the_last_run_tells_how_many_tokens_a_second_were_trained(database: Database) -> None:
    await add_run(database, [(0, 100), (100, 90_100)])
    last = await add_run(database, [(0, None), (5, 300), (20, 3000), (65, 9300)])
    async with database.read() as session:
        speed = await read_speed(session, "small")
    assert speed is not None
    assert speed.run_id == last
    assert speed.tokens_per_second == pytest.approx(150)


async def test_runs_that_say_nothing_of_it_are_passed_over(database: Database) -> None:
    telling = await add_run(database, [(0, 100), (50, 10_100)])
    await add_run(database, [(0, None), (100, None)])  # at OpenAI
    await add_run(database, [(0, 100), (3, 9000)])  # too short to say
    await add_run(database, [(0, 100), (100, 9000)], base="large")
    await add_run(database, [(0, 100), (100, 9000)], trained_tokens=None)  # it failed
    async with database.read() as session:
        speed = await read_speed(session, "small")
        assert await read_speed(session, "unknown") is None
    assert speed is not None
    assert speed.run_id == telling
    assert speed.tokens_per_second == pytest.approx(200)
