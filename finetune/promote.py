"""Promote: one model version is live at a time, and the last one can be had back."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store import AuditEntry, Dataset, ModelVersion, Run, RunEvent, RunState, Stage, utc_now


class PromoteError(ValueError):
    """This model version cannot go live, or nothing can be rolled back."""


async def promote(session: AsyncSession, version_id: int, who: str) -> ModelVersion:
    """Make a version live and retire the one before it, in the caller's transaction.

    Promoting the live version again changes nothing.

    Raises:
        PromoteError: there is no such version.
    """
    version = await session.get(ModelVersion, version_id)
    if version is None:
        raise PromoteError(f"there is no model version {version_id}; `nod models` lists them")
    live = await live_version(session)
    if live is version:
        return version
    now = utc_now()
    await _close_run(session, version, RunState.promoted, f"promoted by {who}")
    await _retire(session, live, now)
    version.stage, version.promoted_at, version.retired_at = Stage.live, now, None
    _log(session, who, "promote", live, version)
    await session.flush()
    return version


async def roll_back(session: AsyncSession, who: str) -> ModelVersion | None:
    """Retire the live version and bring back the one that was live before it.

    Returns the version that is live now; none means that the base model answers again. Rolling
    back twice goes back two versions, never forward again.

    Raises:
        PromoteError: no version is live.
    """
    live = await live_version(session)
    if live is None:
        raise PromoteError("no tuned model is live, so there is nothing to roll back")
    before = await session.scalar(
        select(ModelVersion)
        .where(
            ModelVersion.stage == Stage.retired,
            ModelVersion.promoted_at.is_not(None),  # others were never live
            ModelVersion.retired_at <= live.promoted_at,
        )
        .order_by(ModelVersion.retired_at.desc(), ModelVersion.id.desc())
        .limit(1)
    )
    await _retire(session, live, utc_now())
    if before is not None:
        # Its `promoted_at` stays, so that the next roll back goes further back, not forward again.
        before.stage, before.retired_at = Stage.live, None
    _log(session, who, "roll_back", live, before)
    await session.flush()
    return before


async def start_canary(session: AsyncSession, version_id: int, who: str) -> ModelVersion:
    """Give a version to the canary's share of the conversations; one before it makes way.

    Raises:
        PromoteError: there is no such version, or it is live.
    """
    version = await session.get(ModelVersion, version_id)
    if version is None:
        raise PromoteError(f"there is no model version {version_id}; `nod models` lists them")
    if version.stage is Stage.live:
        raise PromoteError(f"model version {version_id} is live: everybody gets it already")
    before = await canary_version(session)
    if before is version:
        return version
    if before is not None:
        await end_canary(session, before, Stage.retired, f"made way for version {version_id}")
    version.stage, version.canary_from, version.canary = Stage.canary, utc_now(), {}
    version.retired_at = None
    _log(session, who, "start_canary", before, version)
    await session.flush()
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


async def canary_version(session: AsyncSession) -> ModelVersion | None:
    """The version that a share of the conversations tries, if there is one."""
    return await session.scalar(select(ModelVersion).where(ModelVersion.stage == Stage.canary))


async def live_version(session: AsyncSession) -> ModelVersion | None:
    """The model version that everybody sees, if there is one."""
    return await session.scalar(select(ModelVersion).where(ModelVersion.stage == Stage.live))


async def add_candidate(session: AsyncSession, run: Run, model: str) -> None:
    """The model version that a run trained; adding it again changes nothing."""
    known = await session.scalar(select(ModelVersion.id).where(ModelVersion.model == model))
    if known is None:
        struck_at = await session.scalar(
            select(Dataset.struck_at).where(Dataset.id == run.dataset_id)
        )
        session.add(
            ModelVersion(
                model=model,
                base_model=run.base_model,
                run_id=run.id,
                dataset_id=run.dataset_id,
                tainted_at=struck_at,  # forgotten while it was trained
            )
        )


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
    detail = {"from": before and before.model, "to": after and after.model}
    session.add(AuditEntry(who=who, action=action, detail=detail))
