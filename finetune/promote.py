"""Promote: one model version is live at a time, and the last one can be had back.

What has learnt what was forgotten since reaches customers only where a person says so, knowing it.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from store import (
    AuditEntry,
    Dataset,
    Example,
    ModelVersion,
    Run,
    RunEvent,
    RunState,
    Split,
    Stage,
    utc_now,
)


class PromoteError(ValueError):
    """This model version cannot go live, or nothing can be rolled back."""


class TaintedError(PromoteError):
    """It was trained on what was forgotten since: a person has to want it all the same."""

    def __init__(self, version: ModelVersion) -> None:
        super().__init__(
            f"{why_tainted(version)}: `nod retrain` makes one without it; --yes, or the console, "
            f"takes this one all the same"
        )


async def promote(
    session: AsyncSession, version_id: int, who: str, *, even_tainted: bool = False
) -> ModelVersion:
    """Make a version live and retire the one before it, in the caller's transaction.

    Promoting the live version again changes nothing.

    Args:
        even_tainted: a person knows that it is, and wants it.

    Raises:
        TaintedError: it is tainted, and nobody said so.
        PromoteError: there is no such version.
    """
    live = await hold_live(session)
    version = await get_version(session, version_id)
    if live is version:
        return version
    _refuse_tainted(version, even_tainted)
    now = utc_now()
    await _close_run(session, version, RunState.promoted, f"promoted by {who}")
    await _retire(session, live, now)
    version.stage, version.promoted_at, version.retired_at = Stage.live, now, None
    _log(session, who, "promote", live, version)
    await _flush(session)
    return version


async def roll_back(
    session: AsyncSession, who: str, *, seen: int | None = None, even_tainted: bool = False
) -> ModelVersion | None:
    """Retire the live version and bring back the one that was live before it.

    Returns the version that is live now; none means that the base model answers again. Rolling
    back twice goes back two versions, never forward again.

    Args:
        seen: the id of the version that was live when a person decided: a second click, or one
            after a promotion, is no wish to go back further.
        even_tainted: a person knows that the one before is, and wants it.

    Raises:
        TaintedError: the one before is tainted, and nobody said so.
        PromoteError: no version is live, or another one than was seen.
    """
    live = await hold_live(session)
    if live is None:
        raise PromoteError("no tuned model is live, so there is nothing to roll back")
    if seen not in (None, live.id):
        raise PromoteError(f"{live.model} went live meanwhile: look again before you roll back")
    before = await version_before(session, live)
    _refuse_tainted(before, even_tainted)
    await _retire(session, live, utc_now())
    if before is not None:
        # Its `promoted_at` stays, so that the next roll back goes further back, not forward again.
        before.stage, before.retired_at = Stage.live, None
    _log(session, who, "roll_back", live, before)
    await _flush(session)
    return before


async def version_before(session: AsyncSession, live: ModelVersion) -> ModelVersion | None:
    """What a roll back brings live again; none is the base model."""
    return await session.scalar(
        select(ModelVersion)
        .where(
            ModelVersion.stage == Stage.retired,
            ModelVersion.promoted_at.is_not(None),  # others were never live
            ModelVersion.retired_at <= live.promoted_at,
        )
        .order_by(ModelVersion.retired_at.desc(), ModelVersion.id.desc())
        .limit(1)
    )


async def start_canary(session: AsyncSession, version_id: int, who: str) -> ModelVersion:
    """Give a version to the canary's share of the conversations; one before it makes way.

    Raises:
        PromoteError: there is no such version, it is live, or it is tainted: a canary that does
            well goes live by itself.
    """
    version = await get_version(session, version_id)
    if version.stage is Stage.live:
        raise PromoteError(f"model version {version_id} is live: everybody gets it already")
    before = await canary_version(session)
    if before is version:
        return version
    if version.tainted_at is not None:
        raise PromoteError(f"{why_tainted(version)}: `nod retrain` makes one without it")
    if before is not None:
        await end_canary(session, before, Stage.retired, f"made way for version {version_id}")
    version.stage, version.canary_from, version.canary = Stage.canary, utc_now(), {}
    version.retired_at = None
    _log(session, who, "start_canary", before, version)
    await _flush(session)
    return version


async def end_canary(
    session: AsyncSession, version: ModelVersion, stage: Stage, reason: str
) -> None:
    """Take a version away from its share of the conversations."""
    await _close_run(session, version, RunState.refused, f"its canary ended: {reason}")
    version.stage = stage
    version.retired_at = utc_now() if stage is Stage.retired else None
    version.canary = {**version.canary, "reason": reason}
    _log(session, "canary", "end_canary", version, None)
    await session.flush()


async def get_version(session: AsyncSession, version_id: int) -> ModelVersion:
    """The version of that id.

    Raises:
        PromoteError: there is none.
    """
    version = await session.get(ModelVersion, version_id)
    if version is None:
        raise PromoteError(f"there is no model version {version_id}; `nod models` lists them")
    return version


def why_tainted(version: ModelVersion) -> str:
    """What a person should know before customers get it."""
    return (
        f"model version {version.id} ({version.model}) was trained on a conversation that was "
        f"forgotten on {version.tainted_at:%Y-%m-%d}, and may repeat what was said in it"
    )


def _refuse_tainted(version: ModelVersion | None, even_tainted: bool) -> None:
    if version is not None and version.tainted_at is not None and not even_tainted:
        raise TaintedError(version)


async def canary_version(session: AsyncSession) -> ModelVersion | None:
    """The version that a share of the conversations tries, if there is one."""
    return await session.scalar(select(ModelVersion).where(ModelVersion.stage == Stage.canary))


async def live_version(session: AsyncSession) -> ModelVersion | None:
    """The model version that everybody sees, if there is one."""
    return await session.scalar(select(ModelVersion).where(ModelVersion.stage == Stage.live))


async def hold_live(session: AsyncSession) -> ModelVersion | None:
    """What is live, until the commit: who else changes it at the same time waits, and sees this."""
    held = select(ModelVersion.id).where(ModelVersion.stage == Stage.live).with_for_update()
    await session.execute(held)
    # Asked anew: after waiting PostgreSQL gives the row that was live, or none.
    return await live_version(session)


async def add_candidate(session: AsyncSession, run: Run, model: str) -> None:
    """The model version that a run trained; adding it again changes nothing."""
    known = await session.scalar(select(ModelVersion.id).where(ModelVersion.model == model))
    if known is None:
        session.add(
            ModelVersion(
                model=model,
                base_model=run.base_model,
                run_id=run.id,
                dataset_id=run.dataset_id,
                tainted_at=await _struck_at(session, run),
            )
        )


async def _struck_at(session: AsyncSession, run: Run) -> datetime | None:
    """When something was forgotten that was trained on; what is held out teaches nothing."""
    if run.dataset_id is None:
        return None
    dataset = await session.get_one(Dataset, run.dataset_id)
    lines = select(func.count(Example.id)).where(
        Example.dataset_id == dataset.id, Example.split == Split.train
    )
    is_whole = await session.scalar(lines) == dataset.train_count
    return None if is_whole else dataset.struck_at


async def candidate_of(session: AsyncSession, run: Run) -> ModelVersion:
    """The model version that a run trained."""
    query = select(ModelVersion).where(ModelVersion.model == run.tuned_model)
    return (await session.scalars(query)).one()


async def _close_run(
    session: AsyncSession, version: ModelVersion, state: RunState, note: str
) -> None:
    """The run whose candidate was a canary until now has come to its end."""
    run = await session.get(Run, version.run_id) if version.run_id else None
    if run is not None and run.state is RunState.canary:
        run.state = state
        session.add(RunEvent(run_id=run.id, message=note))


async def _flush(session: AsyncSession) -> None:
    """Where nothing was live, or no canary, there is nothing to hold: the index decides."""
    try:
        await session.flush()
    except IntegrityError:
        raise PromoteError("another version took this place just now: look again") from None


async def _retire(session: AsyncSession, version: ModelVersion | None, at: datetime) -> None:
    """Flushed on its own: the index allows one live row at every moment."""
    if version is not None:
        version.stage, version.retired_at = Stage.retired, at
        await session.flush()


def _log(
    session: AsyncSession,
    who: str,
    action: str,
    before: ModelVersion | None,
    after: ModelVersion | None,
) -> None:
    detail: dict[str, Any] = {"from": before and before.model, "to": after and after.model}
    if after is not None and after.tainted_at is not None:
        detail["tainted"] = True
    session.add(AuditEntry(who=who, action=action, detail=detail))
