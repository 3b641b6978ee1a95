"""The scheduler: advances the run, starts runs by the clock and by the count, looks at the canary
and for poison among what was approved, tells the operators.

Any number of processes may run one; the holder of the lease works, the others look on. The
switches are read anew at every tick, so that a new schedule holds at once everywhere.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from app.announcing import Announcer
from app.announcing.senders import open_announcer
from app.clock import Clock, has_begun
from app.lease import SCHEDULER, Duty
from app.nod import Nod
from app.shutdowns import warn_of_shutdowns
from bot.claim import back_off_s, make_owner
from finetune import second_look
from finetune.budget import quiet_until
from finetune.files import remove_struck
from finetune.forget import forget_by_age
from finetune.run import RunActiveError, Trigger, is_due_by_count, request_run
from store import Review, utc_now
from store.switches import read_switches

STEP_EVERY_S = 2.0
COUNT_EVERY_S = 20.0
FORGET_EVERY_S = 1.0
LOOK_AT_AGE_EVERY_S = 3600.0
LOOK_AT_FILES_EVERY_S = 300.0
LOOK_AT_CANARY_EVERY_S = 60.0
LOOK_TWICE_EVERY_S = 300.0
LOOK_AT_MODELS_EVERY_S = 6 * 3600.0
LEASE_S = 30.0
FIRST_WAIT_S = 1.0
MISFIRE_S = 3600
"""A tick that comes late, as after a laptop's sleep, still counts for so long."""

Tick = Callable[[], Awaitable[None]]

log = structlog.get_logger(__name__)


class Scheduler:
    """`run` until cancelled."""

    def __init__(self, nod: Nod) -> None:
        self._nod = nod
        self._duty = Duty(nod.database, SCHEDULER, make_owner(), lease_s=LEASE_S)
        self._jobs = AsyncIOScheduler(
            timezone="UTC",
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": MISFIRE_S},
        )
        self._clock = Clock(nod.database)
        self._is_on_duty = False
        self._newest_review: object = None
        """Of those that were looked at: its id, which SQLite gives again, and its time."""

    async def run(self) -> None:
        """Every tick on its own: a long step delays neither the lease nor the clock."""
        await self._begin()
        self._every(LEASE_S / 3, self._keep_duty)
        self._every(STEP_EVERY_S, self._when_on_duty(self._advance))
        self._every(FORGET_EVERY_S, self._when_on_duty(self._forget))
        if self._nod.settings.retention_days is not None:
            self._every(LOOK_AT_AGE_EVERY_S, self._when_on_duty(self._forget_by_age))
        self._every(LOOK_AT_FILES_EVERY_S, self._remove_struck)  # on duty or not: each its own
        self._every(COUNT_EVERY_S, self._when_on_duty(self._start_by_count))
        self._every(LOOK_AT_CANARY_EVERY_S, self._when_on_duty(self._look_at_canary))
        self._every(LOOK_TWICE_EVERY_S, self._when_on_duty(self._look_twice))
        self._every(LOOK_AT_MODELS_EVERY_S, self._when_on_duty(self._warn_of_shutdowns))
        async with open_announcer(self._nod.settings, self._nod.database) as announcer:
            self._every(STEP_EVERY_S, self._when_on_duty(_emptied(announcer)))
            self._jobs.start()
            try:
                await asyncio.Event().wait()
            finally:
                self._jobs.shutdown(wait=False)
                await self._duty.give_back()

    def _every(self, seconds: float, tick: Tick) -> None:
        # The first one comes at once, not after the first interval.
        self._jobs.add_job(tick, "interval", seconds=seconds, next_run_time=utc_now())

    def _when_on_duty(self, tick: Tick) -> Tick:
        async def guarded() -> None:
            if self._is_on_duty:
                await tick()

        return guarded

    async def _begin(self) -> None:
        """A database that starts beside us, or is locked, is waited for."""
        for failures in itertools.count(1):
            try:
                await self._keep_duty()
                return
            except (OSError, SQLAlchemyError) as error:
                log.warning("scheduler_waits_for_database", error=type(error).__name__)
                await asyncio.sleep(back_off_s(failures, first_s=FIRST_WAIT_S, most_s=LEASE_S))

    async def _keep_duty(self) -> None:
        is_on_duty = await self._duty.take()
        if is_on_duty and not self._is_on_duty:
            log.info("scheduler_on_duty")
        self._is_on_duty = is_on_duty
        await self._start_by_clock()

    async def _advance(self) -> None:
        while await self._nod.retrainer.step():
            pass

    async def _forget(self) -> None:
        while await self._nod.forgetter.step():
            pass

    async def _forget_by_age(self) -> None:
        days = self._nod.settings.retention_days
        if days is not None and (count := await forget_by_age(self._nod.database, days)):
            log.info("conversations_too_old", conversations=count, days=days)

    async def _remove_struck(self) -> None:
        await remove_struck(self._nod.database, self._nod.settings.home)

    async def _look_at_canary(self) -> None:
        await self._nod.canary.step()

    async def _look_twice(self) -> None:
        """Poison answers customers from its approval on: it does not wait for the next run.

        By words, links and times; outliers need embeddings, and are looked for by a run.
        """
        async with self._nod.database.read() as session:
            newest = await session.execute(select(func.max(Review.id), func.max(Review.created_at)))
            found = tuple(newest.one())
        if found[0] is not None and found != self._newest_review:
            await second_look.check(self._nod.database)
            self._newest_review = found

    async def _start_by_clock(self) -> None:
        due_at = await self._clock.due_at()
        if due_at is None or not await self._duty.take():  # asked anew: it may have slept
            return
        async with self._nod.database.read() as session:
            hours = (await read_switches(session)).retrain_quiet_hours
            is_there = await has_begun(session, due_at)
        if quiet_until(due_at, hours) is not None:
            log.warning("no_run_in_quiet_hours", why="retrain_cron falls into retrain_quiet_hours")
        elif not is_there and quiet_until(utc_now(), hours) is not None:
            return  # it is late, and waits for their end
        elif not is_there:
            await self._request("schedule")
        await self._clock.heed()

    async def _start_by_count(self) -> None:
        async with self._nod.database.read() as session:
            is_due = await is_due_by_count(session)
        if is_due and await self._duty.take():
            await self._request("count")

    async def _request(self, trigger: Trigger) -> None:
        with suppress(RunActiveError):  # the next one is asked for when this one has ended
            run = await request_run(
                self._nod.database,
                trigger=trigger,
                requested_by="scheduler",
                base_model=self._nod.settings.base_model,
            )
            log.info("run_requested", run=run.id, trigger=trigger)

    async def _warn_of_shutdowns(self) -> None:
        """Providers say in the list of models when one of them goes dark."""
        await self._nod.wait_for_models()
        nod = self._nod
        await warn_of_shutdowns(nod.database, nod.settings, (nod.models, nod.trainer))


def _emptied(announcer: Announcer) -> Tick:
    async def send_all() -> None:
        while await announcer.step():
            pass

    return send_all
