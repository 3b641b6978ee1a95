"""A run: asked for by the schedule, the count or a person; one at a time."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from finetune.budget import quiet_until
from finetune.examples import TEACHING
from store import (
    AuditEntry,
    Database,
    Dataset,
    Method,
    ModelVersion,
    Review,
    Run,
    RunState,
    Stage,
    utc_now,
)
from store.switches import read_switches

Trigger = Literal["schedule", "count", "console", "command"]
AUTOMATIC: tuple[Trigger, ...] = ("schedule", "count")
JUDGED = (RunState.promoted, RunState.canary, RunState.refused)
QUOTA_REST = timedelta(days=1)


class RunActiveError(RuntimeError):
    """A run is under way; the next one can be asked for when it has ended."""


async def request_run(
    database: Database,
    *,
    trigger: Trigger,
    requested_by: str,
    base_model: str,
    rivals: Sequence[str] = (),
    method: Method = Method.sft,
    hyperparameters: dict[str, Any] | None = None,
) -> Run:
    """Ask for a retrain; `Retrainer.step` does it.

    Args:
        rivals: other base models that are trained on the same dataset and compared with it.
        method: SFT on approved replies, or DPO on edits.
        hyperparameters: n_epochs, batch_size, learning_rate_multiplier; what is missing is `auto`.

    Raises:
        RunActiveError: names the run that is under way.
    """
    run = Run(
        trigger=trigger,
        requested_by=requested_by,
        base_model=base_model,
        rival_bases=list(rivals),
        method=method,
        hyperparameters=hyperparameters or {},
    )
    try:
        async with database.write() as session:
            session.add(run)
            await session.flush()
            run.contest_id = run.id if rivals else None
            session.add(AuditEntry(who=requested_by, action="retrain", detail={"trigger": trigger}))
    except IntegrityError:
        async with database.read() as session:
            active = await active_run(session)
        under_way = f"run {active.id} is {active.state}" if active else "another run just began"
        raise RunActiveError(f"{under_way}; wait until it ends, or cancel it") from None
    return run


async def cancel_run(database: Database, run_id: int, who: str) -> bool:
    """Ask for the end of a run; the next step carries it out. False when it has ended already."""
    async with database.write() as session:
        asked = await session.execute(
            update(Run).where(Run.id == run_id, Run.is_active).values(cancel_asked_by=who)
        )
        cancelled = bool(asked.rowcount)  # type: ignore[attr-defined]
        if cancelled:
            session.add(AuditEntry(who=who, action="cancel_run", detail={"run": run_id}))
    return cancelled


async def active_run(session: AsyncSession) -> Run | None:
    """The run that is under way, if there is one."""
    return await session.scalar(select(Run).where(Run.is_active))


async def is_due_by_count(session: AsyncSession) -> bool:
    """Whether so many new examples were approved that the switches ask for a run."""
    needed = (await read_switches(session)).retrain_min_examples
    if not needed or await active_run(session):
        return False
    if await is_quiet(session):
        return False
    # Since the last run, whatever became of it: one that was skipped for too few examples, failed
    # or was cancelled before it froze any is not begun again until as many more are approved. One
    # that the clock began and found too little for has taken nothing from the count.
    was_idle = and_(
        Run.trigger == "schedule", Run.state == RunState.skipped, Run.dataset_id.is_(None)
    )
    last = await session.scalar(select(func.max(Run.created_at)).where(~was_idle))
    return await _count_approved(session, since=last) >= needed


async def too_few_new(session: AsyncSession, run: Run) -> str | None:
    """Why a run of the clock has to wait for more approvals; none for every other run.

    Counted from the last run that came to a verdict: what failed is tried again by the next clock.
    A tainted model in use is healed with whatever there is.
    """
    if run.trigger != "schedule":
        return None
    needed = (await read_switches(session)).retrain_clock_min_examples
    last = await session.scalar(select(func.max(Run.created_at)).where(Run.state.in_(JUDGED)))
    if (new := await _count_approved(session, since=last)) >= needed:
        return None
    in_use = (
        ModelVersion.stage.in_((Stage.live, Stage.canary)),
        ModelVersion.tainted_at.is_not(None),
    )
    if await session.scalar(select(ModelVersion.id).where(*in_use).limit(1)) is not None:
        return None
    return (
        f"{new} new example(s) were approved since the last verdict, and the clock waits for "
        f"{needed} (`nod schedule --clock-needs`); `nod retrain` takes what there is"
    )


async def is_quiet(session: AsyncSession) -> bool:
    """Whether no run may begin by itself now."""
    return quiet_until(utc_now(), (await read_switches(session)).retrain_quiet_hours) is not None


async def count_new_examples(session: AsyncSession) -> int:
    """Replies approved or edited since the last run that froze a dataset began.

    Counted from the run and not from its examples: approvals that repeat what is known add no
    example, and would ask for a run for ever.
    """
    last = await session.scalar(select(func.max(Run.created_at)).where(Run.dataset_id.is_not(None)))
    return await _count_approved(session, since=last)


async def _count_approved(session: AsyncSession, *, since: datetime | None) -> int:
    query = select(func.count()).select_from(Review).where(Review.verdict.in_(TEACHING))
    if since is not None:
        query = query.where(Review.created_at > since)
    return await session.scalar(query) or 0


async def standing_refusal(session: AsyncSession, run: Run, trainer: str) -> str | None:
    """Why an automatic run need not try: the provider refused the last one, and nothing changed.

    A refusal for good stands until a person asks for a run; a quota may be back after a day.
    """
    last = await session.scalar(
        select(Run)
        .where(Run.id != run.id, or_(Run.job_id.is_not(None), Run.refusal.is_not(None)))
        .order_by(Run.id.desc())
        .limit(1)
    )
    if last is None or last.refusal is None or last.verdict.get("trainer") != trainer:
        return None
    if last.refusal == "quota" and utc_now() - last.created_at > QUOTA_REST:
        return None
    return (
        f"run {last.id} was refused by the provider, so nothing was uploaded again: {last.error} "
        f"Retrain by hand to try it."
    )


async def was_trained_on(session: AsyncSession, run: Run, dataset: Dataset) -> bool:
    """Whether an earlier run came to a verdict on the same dataset, base and hyperparameters."""
    earlier = await session.scalars(
        select(Run).where(
            Run.dataset_id == dataset.id,
            Run.base_model == run.base_model,
            Run.state.in_(JUDGED),
        )
    )
    return any(before.hyperparameters == run.hyperparameters for before in earlier)
