"""Progress: what a step came to, written down under the claim, and what follows from an end."""

from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from finetune.announce import Recipients, announce_run
from finetune.claim import Claim
from store import Database, Run, RunEvent, RunState, utc_now

log = structlog.get_logger(__name__)

_FELL_SHORT = (RunState.skipped, RunState.failed, RunState.cancelled)


class Progress:
    """Moves runs on; every write is bound to the claim on the run."""

    def __init__(self, database: Database, claim: Claim, recipients: Recipients) -> None:
        self._database = database
        self._claim = claim
        self.recipients = recipients

    async def settle(self, run: Run, **changes: Any) -> None:
        """Write the result of a step that leaves the run where it is."""
        async with self._database.write() as session:
            await self.settle_in(session, run, **changes)

    async def settle_in(self, session: AsyncSession, run: Run, **changes: Any) -> None:
        await self._claim.settle(session, run, **{"attempts": 0, "error": None, **changes})

    async def wait(self, run: Run, seconds: float, **changes: Any) -> None:
        """Leave the run alone for so long."""
        await self.settle(run, due_at=_after(seconds), **changes)

    async def move(
        self, session: AsyncSession, run: Run, state: RunState, note: str, **changes: Any
    ) -> None:
        """Into the next state, with a line in the run's story; the claim is given back."""
        changes = {"attempts": 0, "error": None, "due_at": utc_now(), **changes}
        if state.is_final:
            changes |= {"is_active": False, "ended_at": utc_now()}
            if run.state is not RunState.collecting:  # it has been at the provider's
                changes["leftovers_due_at"] = utc_now()
        if state in _FELL_SHORT:
            changes["error"] = note
        _tell(session, run, state, note)
        await self._claim.settle(session, run, state=state, **changes)
        if state.is_final:
            await announce_run(session, self.recipients, run, state, note)
        log.info("run_moved", run=run.id, state=state)


async def revise_end(
    session: AsyncSession, recipients: Recipients, run_id: int, state: RunState, note: str
) -> None:
    """Give a run that has ended another end: its contest or its canary was decided."""
    run = await session.get_one(Run, run_id)
    run.state, run.verdict = state, {**run.verdict, "reasons": [note, *_reasons(run)]}
    _tell(session, run, state, note)
    await announce_run(session, recipients, run, state, note)
    log.info("run_moved", run=run.id, state=state)


def _tell(session: AsyncSession, run: Run, state: RunState, note: str) -> None:
    level = "error" if state is RunState.failed else "info"
    session.add(RunEvent(run_id=run.id, level=level, message=note))


def _reasons(run: Run) -> list[str]:
    return list(run.verdict.get("reasons", ()))


def _after(seconds: float) -> datetime:
    return utc_now() + timedelta(seconds=seconds)
