"""Leftovers: what an ended run still has at the provider is taken away there.

A provider that is down when a run ends may not keep its files for ever, nor go on with its job. So
the end of a run only notes that something is left; steps of their own look for it by its names and
remove it, and come again until the provider has answered.
"""

from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import select, update

from bot.claim import after, back_off_s
from finetune.failure import judge
from finetune.provider import Provider, run_key
from store import Database, Run, RunEvent, utc_now

log = structlog.get_logger(__name__)

CLAIM_S = 120.0
"""After so long another process looks after what one that died has begun."""
FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 3600.0
MOST_ATTEMPTS = 60
"""More than a day."""


class Leftovers:
    """Cancels jobs that nobody waits for and deletes files that nobody needs."""

    def __init__(self, database: Database, provider: Provider) -> None:
        self._database = database
        self._provider = provider

    async def step(self) -> bool:
        """Look after one ended run; False when none is due."""
        run = await self._take()
        if run is None:
            return False
        try:
            await self._remove(run)
        except Exception as error:
            await self._put_off(run, error)
        else:
            await self._note(run, leftovers_due_at=None)
        return True

    async def _take(self) -> Run | None:
        now = utc_now()
        async with self._database.write() as session:
            due = (
                select(Run.id)
                .where(Run.leftovers_due_at <= now, ~Run.is_active)
                .order_by(Run.leftovers_due_at)
                .limit(1)
            )
            taken = await session.scalar(
                update(Run)
                .where(Run.id == due.scalar_subquery(), Run.leftovers_due_at <= now)
                .values(leftovers_due_at=now + timedelta(seconds=CLAIM_S))
                .returning(Run.id)
            )
            return None if taken is None else await session.get(Run, taken)

    async def _remove(self, run: Run) -> None:
        """The job first: a file in use is not deleted."""
        if run.tuned_model is None and (job := await self._find_job(run)):
            await self._provider.cancel_job(job)
        for file_id in await self._provider.find_files(run):
            await self._provider.delete_file(file_id)

    async def _find_job(self, run: Run) -> str | None:
        if run.job_id is not None:
            return run.job_id
        found = await self._provider.find_job(run)  # created, and the answer was lost
        return found.id if found else None

    async def _put_off(self, run: Run, error: Exception) -> None:
        failure, attempts = judge(error), run.leftovers_attempts + 1
        log.warning("leftovers_stay", run=run.id, attempts=attempts, why=failure.reason)
        if attempts < MOST_ATTEMPTS:
            delay_s = back_off_s(attempts, first_s=FIRST_WAIT_S, most_s=LONGEST_WAIT_S)
            due_at = after(delay_s if failure.retry_after_s is None else failure.retry_after_s)
            return await self._note(run, leftovers_due_at=due_at, leftovers_attempts=attempts)
        note = (
            f"gave up removing what it left at the provider ({failure.reason}): look there for "
            f"files and jobs that are named {run_key(run)}"
        )
        return await self._note(run, note=note, leftovers_due_at=None)

    async def _note(self, run: Run, *, note: str | None = None, **changes: Any) -> None:
        async with self._database.write() as session:
            await session.execute(update(Run).where(Run.id == run.id).values(**changes))
            if note is not None:
                session.add(RunEvent(run_id=run.id, level="warn", message=note))
