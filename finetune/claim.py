"""A claim on the active run: one process advances it at a time, and a dead one holds it briefly.

    UPDATE run SET claimed_by = me, claimed_until = soon WHERE is due AND is unclaimed or lapsed

While a step works, the claim is renewed; every result is written under the condition that the claim
still holds, so that a process which slept through its claim changes nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from store import Database, Run, utc_now
from store.base import CLOCKS_APART
from store.whole import see_through

LONGEST_WAIT = timedelta(hours=1) + CLOCKS_APART
"""A provider may ask for an hour; no run waits longer."""

log = structlog.get_logger(__name__)


class ClaimLostError(RuntimeError):
    """Another process has taken the run over; it goes on there."""


class Claim:
    """Takes, renews and gives back the active run, under one holder's name."""

    def __init__(self, database: Database, holder: str, lease_s: float) -> None:
        self._database = database
        self._holder = holder
        self._lease = timedelta(seconds=lease_s)

    async def take(self) -> Run | None:
        """The active run, when it is due and nobody else works on it."""
        now = utc_now()
        async with self._database.write() as session:
            taken = await session.scalar(
                update(Run)
                .where(
                    Run.is_active,
                    or_(
                        Run.due_at <= now,
                        Run.due_at > now + LONGEST_WAIT,
                        Run.cancel_asked_by.is_not(None),
                    ),
                    or_(
                        Run.claimed_until.is_(None),
                        Run.claimed_until < now,
                        Run.claimed_until > now + self._lease + CLOCKS_APART,
                        Run.claimed_by == self._holder,  # our own, from before a crash
                    ),
                )
                .values(claimed_by=self._holder, claimed_until=now + self._lease)
                .returning(Run.id)
            )
            if taken is None:
                return None
            return await session.scalar(select(Run).where(Run.id == taken))

    @asynccontextmanager
    async def keep(self, run: Run) -> AsyncIterator[None]:
        """Renew the claim while the block works; where it is broken off, give the claim back."""
        renewing = asyncio.create_task(self._renew(run.id))
        try:
            yield
        except asyncio.CancelledError:  # this process ends: another one need not wait
            await see_through(self._give_back(run.id))
            raise
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing

    async def settle(self, session: AsyncSession, run: Run, **changes: Any) -> None:
        """Write what a step came to and give the claim back, in the caller's transaction.

        Raises:
            ClaimLostError: the claim has lapsed and somebody else took it; nothing is written.
        """
        settled = await session.scalar(
            update(Run)
            .where(Run.id == run.id, Run.claimed_by == self._holder, Run.is_active)
            .values(claimed_by=None, claimed_until=None, updated_at=utc_now(), **changes)
            .returning(Run.id)
        )
        if settled is None:
            raise ClaimLostError(f"run {run.id} is no longer ours")

    async def _give_back(self, run_id: int) -> None:
        with suppress(OSError, SQLAlchemyError):  # then it lapses
            async with self._database.write() as session:
                await session.execute(
                    update(Run)
                    .where(Run.id == run_id, Run.claimed_by == self._holder)
                    .values(claimed_by=None, claimed_until=None)
                )

    async def _renew(self, run_id: int) -> None:
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 3)
            try:
                async with self._database.write() as session:
                    await session.execute(
                        update(Run)
                        .where(Run.id == run_id, Run.claimed_by == self._holder)
                        .values(claimed_until=utc_now() + self._lease)
                    )
            except (OSError, SQLAlchemyError) as error:  # there are two more times before it lapses
                log.warning("claim_not_renewed", run=run_id, error=type(error).__name__)
