"""When runs begin by themselves: by cron, by the count, and never in quiet hours.

APScheduler, the lease and the database are the real ones; the clock is ours, and is moved.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import apscheduler.executors.base
import apscheduler.schedulers.base
import apscheduler.triggers.interval
import pytest
from sqlalchemy import event, select, update
from sqlalchemy.exc import OperationalError

import app.clock
import app.lease
import app.scheduler
import finetune.run
from app.nod import Nod
from app.scheduler import Scheduler
from app.settings import Settings
from store import Database, Lease, Review, Run, RunState
from store.switches import set_switch
from tests.finetune.shop import approve

NIGHT = datetime(2026, 3, 3, 2, 59, 50, tzinfo=UTC)
"""Ten seconds before cron's time, which is each day at 03:00."""


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def show_to(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """To all who look at the time where a run is begun."""
        clock = self

        class Moved(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return clock.now.astimezone(tz)

        for module in (
            apscheduler.executors.base,
            apscheduler.schedulers.base,
            apscheduler.triggers.interval,
        ):
            monkeypatch.setattr(module, "datetime", Moved)
        for ours in (app.clock, app.lease, app.scheduler, finetune.run):
            monkeypatch.setattr(ours, "utc_now", lambda: self.now)

    @contextmanager
    def stamping(self, *kinds: type) -> Iterator[None]:
        """Rows of these kinds are stored at its time."""

        def stamp(_mapper: object, _connection: object, row: Any) -> None:
            row.created_at = self.now

        for kind in kinds:
            event.listen(kind, "before_insert", stamp)
        yield
        for kind in kinds:
            event.remove(kind, "before_insert", stamp)


class Shift:
    """Schedulers at work, each as a process of its own has it."""

    def __init__(self, database: Database, clock: Clock, home: Path) -> None:
        self.database = database
        self._clock = clock
        self._home = home
        self._schedulers: list[Scheduler] = []

    @asynccontextmanager
    async def begun(self) -> AsyncIterator[None]:
        """One more, which gives its duty back in the end."""
        scheduler = Scheduler(_nod(self.database, self._home))
        task = asyncio.create_task(scheduler.run())
        while not scheduler._jobs.running:
            await asyncio.sleep(0.01)
            assert not task.done()
        self._schedulers.append(scheduler)
        await self._settle()
        try:
            yield
        finally:
            self._schedulers.remove(scheduler)
            task.cancel()
            await asyncio.wait([task])

    async def move(self, **by: float) -> None:
        """Move the clock, and wait until everything that was due is done."""
        self._clock.now += timedelta(**by)
        for scheduler in self._schedulers:
            scheduler._jobs.wakeup()
        await self._settle()

    @asynccontextmanager
    async def first_asleep(self) -> AsyncIterator[None]:
        """The one that began first does nothing meanwhile, as a suspended laptop."""
        jobs = self._schedulers[0]._jobs
        jobs.pause()
        yield
        jobs.resume()
        await self._settle()

    async def live_through(self, *, seconds: int) -> None:
        """As time passes, in steps that keep the lease."""
        for _ in range(0, seconds, 5):
            await self.move(seconds=5)

    async def _settle(self) -> None:
        await asyncio.sleep(0.01)  # wakeup only asks the loop
        for scheduler in self._schedulers:
            while pending := scheduler._jobs._executors["default"]._pending_futures:
                await asyncio.wait(pending)
                await asyncio.sleep(0)

    async def switch(self, key: str, value: object) -> None:
        async with self.database.write() as session:
            await set_switch(session, key, value, who="olga")

    async def approve(self, count: int) -> None:
        for number in range(count):
            await approve(self.database, f"What does item {number} cost?", f"{number} euros.")

    async def triggers(self) -> list[str]:
        """What began the runs that there are."""
        async with self.database.read() as session:
            return list(await session.scalars(select(Run.trigger).order_by(Run.id)))

    async def end_runs(self) -> None:
        """They were found to have nothing to do."""
        async with self.database.write() as session:
            await session.execute(update(Run).values(is_active=False, state=RunState.skipped))


def _nod(database: Database, home: Path) -> Nod:
    """No more of it than a scheduler asks."""

    async def nothing() -> bool:
        return False

    idle = SimpleNamespace(step=nothing)
    rooms = SimpleNamespace(retrainer=idle, forgetter=idle, canary=idle, models=None, trainer=None)
    rooms.settings, rooms.database, rooms.wait_for_models = Settings(home=home), database, nothing
    return cast(Nod, rooms)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock(NIGHT)
    clock.show_to(monkeypatch)

    async def warn_of_nothing(*_: object) -> None:
        pass

    monkeypatch.setattr(app.scheduler, "warn_of_shutdowns", warn_of_nothing)
    with clock.stamping(Review, Run):
        yield clock


@pytest.fixture
def shift(database: Database, clock: Clock, tmp_path: Path) -> Shift:
    return Shift(database, clock, tmp_path)


@pytest.fixture
def shared_shift(any_database: Database, clock: Clock, tmp_path: Path) -> Shift:
    """Where two processes meet, on each database."""
    return Shift(any_database, clock, tmp_path)


async def test_a_run_begins_by_cron_once_a_night(shift: Shift) -> None:
    async with shift.begun():
        assert await shift.triggers() == []
        await shift.live_through(seconds=5)
        assert await shift.triggers() == []
        await shift.live_through(seconds=60)
        assert await shift.triggers() == ["schedule"]
        await shift.end_runs()
        await shift.move(hours=23)
        assert await shift.triggers() == ["schedule"]
        await shift.move(hours=1)
        assert await shift.triggers() == ["schedule"] * 2


async def test_two_processes_begin_one_run(shared_shift: Shift) -> None:
    async with shared_shift.begun(), shared_shift.begun():
        await shared_shift.live_through(seconds=10)
        assert await shared_shift.triggers() == ["schedule"]
        await shared_shift.end_runs()
        await shared_shift.live_through(seconds=60)
        assert await shared_shift.triggers() == ["schedule"]


async def test_who_wakes_after_another_took_over_begins_no_second_run(
    shared_shift: Shift,
) -> None:
    """It thinks that the duty is still its own, and its tick comes late."""
    async with shared_shift.begun(), shared_shift.begun():
        async with shared_shift.first_asleep():
            await shared_shift.live_through(seconds=60)
            assert await shared_shift.triggers() == ["schedule"]
            await shared_shift.end_runs()
        assert await shared_shift.triggers() == ["schedule"]


async def test_a_night_is_not_lost_with_the_process_that_was_on_duty(shift: Shift) -> None:
    async with shift.database.write() as session:
        expires_at = NIGHT + timedelta(seconds=25)
        session.add(Lease(name="scheduler", holder="killed", expires_at=expires_at))
    async with shift.begun():
        await shift.live_through(seconds=20)
        assert await shift.triggers() == []
        await shift.live_through(seconds=30)
        assert await shift.triggers() == ["schedule"]


async def test_who_takes_over_after_the_nights_run_begins_no_second_one(shift: Shift) -> None:
    async with AsyncExitStack() as first:
        await first.enter_async_context(shift.begun())
        async with shift.begun():
            await shift.live_through(seconds=10)
            assert await shift.triggers() == ["schedule"]
            await shift.end_runs()
            await first.aclose()
            await shift.live_through(seconds=60)
            assert await shift.triggers() == ["schedule"]


async def test_a_night_that_passed_while_nobody_was_there_is_made_up_for_once(
    shift: Shift,
) -> None:
    async with shift.begun():
        pass
    await shift.move(hours=6)
    async with shift.begun():
        assert await shift.triggers() == ["schedule"]
        await shift.end_runs()
        await shift.live_through(seconds=60)
    async with shift.begun():
        await shift.live_through(seconds=20)
        assert await shift.triggers() == ["schedule"]


async def test_who_was_killed_between_the_nights_run_and_the_note_begins_no_second_one(
    shift: Shift, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(_: object) -> None:
        raise RuntimeError("killed")

    async with shift.begun():
        with monkeypatch.context() as patch:
            patch.setattr(app.clock.Clock, "heed", die)
            await shift.live_through(seconds=10)
        assert await shift.triggers() == ["schedule"]
    await shift.end_runs()
    await shift.move(minutes=30)
    async with shift.begun():
        await shift.live_through(seconds=20)
        assert await shift.triggers() == ["schedule"]


async def test_a_night_long_past_is_not_made_up_for(shift: Shift) -> None:
    async with shift.begun():
        pass
    await shift.move(hours=13)
    async with shift.begun():
        await shift.live_through(seconds=20)
        assert await shift.triggers() == []


async def test_the_first_start_makes_up_for_no_night(shift: Shift) -> None:
    await shift.move(hours=6)
    async with shift.begun():
        await shift.live_through(seconds=20)
        assert await shift.triggers() == []


async def test_a_schedule_that_is_set_while_nobody_is_there_holds_from_then_on(
    shift: Shift,
) -> None:
    async with shift.begun():
        pass
    await shift.switch("retrain_cron", "0 4 * * *")
    await shift.move(hours=2)
    async with shift.begun():
        await shift.live_through(seconds=20)
        assert await shift.triggers() == []


async def test_what_is_made_up_for_waits_for_the_end_of_quiet_hours(shift: Shift) -> None:
    await shift.switch("retrain_quiet_hours", "08:00-10:00")
    async with shift.begun():
        pass
    await shift.move(hours=6)
    async with shift.begun():
        await shift.live_through(seconds=20)
        assert await shift.triggers() == []
        await shift.move(hours=1, seconds=10)
        assert await shift.triggers() == ["schedule"]


async def test_a_clock_that_was_wrong_and_is_set_right_goes_on(shift: Shift) -> None:
    await shift.move(days=400)
    async with shift.begun():
        pass
    await shift.move(days=-400)
    async with shift.begun():
        await shift.live_through(seconds=20)
        assert await shift.triggers() == ["schedule"]


async def test_a_lease_from_a_clock_that_was_ahead_holds_nobody_up(shift: Shift) -> None:
    async with shift.database.write() as session:
        expires_at = NIGHT + timedelta(days=400)
        session.add(Lease(name="scheduler", holder="killed", expires_at=expires_at))
    async with shift.begun():
        await shift.live_through(seconds=20)
        assert await shift.triggers() == ["schedule"]


async def test_a_database_that_is_away_at_the_start_is_waited_for(
    shift: Shift, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.scheduler, "FIRST_WAIT_S", 0.01)
    take, failures = app.lease.Duty.take, 2

    async def fail_first(duty: app.lease.Duty) -> bool:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise OperationalError("UPDATE lease", {}, Exception("database is locked"))
        return await take(duty)

    monkeypatch.setattr(app.lease.Duty, "take", fail_first)
    async with shift.begun():
        await shift.live_through(seconds=20)
        assert await shift.triggers() == ["schedule"]


async def test_a_new_schedule_holds_without_a_restart(shift: Shift) -> None:
    await shift.switch("retrain_cron", "0 4 * * *")
    async with shift.begun():
        await shift.switch("retrain_cron", "30 5 * * *")
        await shift.live_through(seconds=20)
        await shift.move(hours=2)
        assert await shift.triggers() == []
        await shift.move(minutes=30)
        assert await shift.triggers() == ["schedule"]


async def test_an_empty_schedule_begins_nothing(shift: Shift) -> None:
    await shift.switch("retrain_cron", "")
    async with shift.begun():
        await shift.move(days=1)
        assert await shift.triggers() == []


async def test_by_the_count_a_run_begins_from_so_many_new_examples_on(shift: Shift) -> None:
    await shift.switch("retrain_min_examples", 3)
    await shift.switch("retrain_cron", "")
    async with shift.begun():
        await shift.approve(2)
        await shift.live_through(seconds=60)
        assert await shift.triggers() == []
        await shift.approve(1)
        await shift.live_through(seconds=60)
        assert await shift.triggers() == ["count"]
        await shift.end_runs()
        await shift.live_through(seconds=60)
        assert await shift.triggers() == ["count"]  # those three have had their run
        await shift.approve(3)
        await shift.live_through(seconds=60)
        assert await shift.triggers() == ["count", "count"]


async def test_two_processes_count_once(shared_shift: Shift) -> None:
    await shared_shift.switch("retrain_min_examples", 2)
    await shared_shift.switch("retrain_cron", "")
    await shared_shift.approve(2)
    async with shared_shift.begun(), shared_shift.begun():
        await shared_shift.live_through(seconds=60)
        await shared_shift.end_runs()
        await shared_shift.live_through(seconds=60)
        assert await shared_shift.triggers() == ["count"]


async def test_in_quiet_hours_nothing_begins_by_the_count_and_afterwards_it_does(
    shift: Shift,
) -> None:
    await shift.switch("retrain_quiet_hours", "02:00-03:30")
    await shift.switch("retrain_min_examples", 2)
    await shift.switch("retrain_cron", "")
    await shift.approve(2)
    async with shift.begun():
        await shift.live_through(seconds=60)
        assert await shift.triggers() == []
        await shift.move(minutes=30)
        assert await shift.triggers() == ["count"]


async def test_in_quiet_hours_cron_begins_nothing_and_at_its_next_time_it_does(
    shift: Shift, clock: Clock
) -> None:
    await shift.switch("retrain_quiet_hours", "02:00-03:30")
    await shift.switch("retrain_cron", "0 3,4 * * *")
    async with shift.begun():
        await shift.live_through(seconds=60)
        assert await shift.triggers() == []
        await shift.move(hours=1)
        assert f"{clock.now:%H:%M}" == "04:00"
        assert await shift.triggers() == ["schedule"]


async def test_a_run_under_way_is_not_joined_by_another(shift: Shift) -> None:
    await shift.switch("retrain_min_examples", 2)
    async with shift.begun():
        await shift.live_through(seconds=10)
        await shift.approve(5)
        await shift.live_through(seconds=60)
        assert await shift.triggers() == ["schedule"]
