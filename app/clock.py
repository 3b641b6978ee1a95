"""The clock: the time of a run by cron has come, also where nobody was at work just then.

How far cron's times have been heeded is a row, so that a time that passed while every process was
down (a computer that is off at night), suspended or about to be killed is still there to be heeded.
"""

from datetime import datetime, timedelta

import structlog
from apscheduler.triggers.cron import CronTrigger
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.cron import CronError, read_cron
from store import Database, Run, Setting, utc_now
from store.base import CLOCKS_APART
from store.switches import read_switches

LATE = timedelta(hours=12)
"""A time that passed longer ago is gone: what was due at night begins in the morning, not in the
next evening."""
KEY = "retrain_clock"
_A_TICK = timedelta(microseconds=1)

log = structlog.get_logger(__name__)


class Clock:
    """Says when a time has come, until it is told that it was heeded."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cron = ""
        self._trigger: CronTrigger | None = None

    async def due_at(self) -> datetime | None:
        """Cron's last time that has come and was not heeded.

        From the first look at a schedule on: a new one begins nothing for a time before it was set.
        """
        now = utc_now()
        async with self._database.read() as session:
            cron = (await read_switches(session)).retrain_cron
            heeded = await session.get(Setting, KEY)
        self._read(cron)
        if heeded is None or heeded.value["cron"] != cron:
            await self._note(cron, now)
            return None
        since = datetime.fromisoformat(heeded.value["at"])
        if since > now + CLOCKS_APART:  # the clock was wrong, or is
            await self._note(cron, now)
            return None
        return self._last_between(max(since, now - LATE), now)

    async def heed(self) -> None:
        """Whatever has come by now is done with."""
        await self._note(self._cron, utc_now())

    def _read(self, cron: str) -> None:
        if cron != self._cron:
            self._cron, self._trigger = cron, _trigger_of(cron) if cron else None

    def _last_between(self, since: datetime, now: datetime) -> datetime | None:
        """After `since`, and `now` at the latest."""
        last, after = None, since
        while self._trigger is not None:
            come = self._trigger.get_next_fire_time(None, after + _A_TICK)
            if come is None or come > now:
                break
            last = after = come
        return last

    async def _note(self, cron: str, at: datetime) -> None:
        value = {"cron": cron, "at": at.isoformat()}
        try:
            async with self._database.write() as session:
                row = await session.get(Setting, KEY) or Setting(key=KEY)
                row.value, row.updated_by = value, "scheduler"
                session.add(row)
        except IntegrityError:
            pass  # another process noted it at the same time


async def has_begun(session: AsyncSession, due_at: datetime) -> bool:
    """Whether the run of this time is there, and only the note that it was heeded is not."""
    by_clock = select(Run.id).where(
        Run.trigger == "schedule", Run.created_at >= due_at - CLOCKS_APART
    )
    return await session.scalar(by_clock.limit(1)) is not None


def _trigger_of(cron: str) -> CronTrigger | None:
    """None, and a warning, where the fields make no sense."""
    try:
        return read_cron(cron)
    except CronError as error:
        log.warning("retrain_cron_is_wrong", error=str(error))
        return None
