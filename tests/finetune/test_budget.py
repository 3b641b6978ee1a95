"""Limits are kept before anything is uploaded, and say how to change them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.budget import (
    Limits,
    OverLimitError,
    cost_of,
    estimate_cost,
    quiet_until,
    refuse_over_limits,
    spent_this_month,
)
from store import Database, Dataset, Run, utc_now
from store.switches import set_switch

DATASET = Dataset(
    version=1, sha256="a", train_count=100, holdout_count=20, report={"tokens": {"train": 100_000}}
)


def make_run(**more: object) -> Run:
    return Run(trigger="command", base_model="m", hyperparameters={}, **more)


async def add_earlier(database: Database, count: int, cost: float) -> None:
    async with database.write() as session:
        for number in range(count):
            session.add(make_run(is_active=False, job_id=f"j{number}", cost=cost))


async def refuse(database: Database, limits: Limits) -> None:
    async with database.read() as session:
        await refuse_over_limits(session, make_run(id=99), DATASET, limits)


def test_the_cost_is_of_the_tokens_times_the_epochs() -> None:
    limits = Limits(price_per_million=8.0)
    assert estimate_cost(make_run(), DATASET, limits) == pytest.approx(2.4), "3 epochs at $0.008/1K"
    five = Run(trigger="command", base_model="m", hyperparameters={"n_epochs": 5})
    assert estimate_cost(five, DATASET, limits) == pytest.approx(4.0)
    assert cost_of(make_run(cost=1.0), 1_000_000, limits) == pytest.approx(8.0)
    assert cost_of(make_run(cost=1.0), None, limits) == 1.0


async def test_without_a_price_the_table_has_it_and_a_budget_is_never_blind(
    database: Database,
) -> None:
    elsewhere = Limits(is_free=False, most_per_run=100.0)
    assert elsewhere.price_of("gpt-4o-mini-2024-07-18") == pytest.approx(3.0)
    assert Limits().price_of("gpt-4o-mini") == 0.0, "one's own machine"
    with pytest.raises(OverLimitError, match="no price of m is known: set NOD_TRAINING_PRICE"):
        await refuse(database, elsewhere)
    await refuse(database, Limits(is_free=False))


async def test_a_run_over_its_budget_is_refused(database: Database) -> None:
    await refuse(database, Limits(price_per_million=8.0, most_per_run=2.5))
    with pytest.raises(OverLimitError, match=r"about 2\.40, and NOD_RUN_BUDGET=2 "):
        await refuse(database, Limits(price_per_million=8.0, most_per_run=2.0))


async def test_a_month_over_its_budget_refuses_the_run_that_would_break_it(
    database: Database,
) -> None:
    await add_earlier(database, 2, 4.0)
    await refuse(database, Limits(price_per_million=8.0, most_per_month=10.5))
    with pytest.raises(OverLimitError, match=r"8\.00 of NOD_MONTH_BUDGET=10 are spent"):
        await refuse(database, Limits(price_per_million=8.0, most_per_month=10.0))


async def test_what_was_spent_in_another_month_does_not_count(database: Database) -> None:
    async with database.write() as session:
        old = datetime(2025, 1, 31, 23, 59, tzinfo=UTC)
        session.add(make_run(is_active=False, job_id="j", cost=50.0, created_at=old))
        session.add(make_run(is_active=False, job_id="k", cost=1.0))
    async with database.read() as session:
        assert await spent_this_month(session, utc_now()) == 1.0


async def test_the_jobs_of_a_day_are_limited_whoever_asks(database: Database) -> None:
    await add_earlier(database, 2, 0.0)
    async with database.write() as session:
        await set_switch(session, "retrain_jobs_a_day", 2, who="ada")
    with pytest.raises(OverLimitError, match="--jobs-a-day"):
        await refuse(database, Limits())
    async with database.write() as session:
        await set_switch(session, "retrain_jobs_a_day", 0, who="ada")
    await refuse(database, Limits())


@pytest.mark.parametrize(
    ("hours", "clock", "until"),
    [
        ("", "12:00", None),
        ("08:00-20:00", "07:59", None),
        ("08:00-20:00", "08:00", "1 20:00"),
        ("08:00-20:00", "19:59", "1 20:00"),
        ("08:00-20:00", "20:00", None),
        ("22:00-06:00", "23:00", "2 06:00"),
        ("22:00-06:00", "05:59", "1 06:00"),
        ("22:00-06:00", "12:00", None),
        ("00:00-00:00", "12:00", "2 00:00"),
    ],
)
def test_quiet_hours_end_when_they_say_over_midnight_too(
    hours: str, clock: str, until: str | None
) -> None:
    now = datetime.fromisoformat(f"2026-12-01T{clock}:00+00:00")
    found = quiet_until(now, hours)
    assert (found and f"{found.day} {found:%H:%M}") == until


@given(st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2027, 1, 1)))
def test_quiet_hours_always_end_within_a_day_and_are_over_then(at: datetime) -> None:
    now, hours = at.replace(tzinfo=UTC), "22:30-06:15"
    until = quiet_until(now, hours)
    if until is not None:
        assert 0 < (until - now).total_seconds() <= 86_400
        assert quiet_until(until, hours) is None
