"""Speed: how many tokens a second the last training on this machine got through."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store import Run, RunEvent

LEAST_S = 10
"""The server's clock has whole seconds: a shorter training says little."""
_RUNS = 10


@dataclass(frozen=True, kw_only=True)
class Speed:
    """As a run has had it, validation between the steps included."""

    run_id: int
    tokens_per_second: float


async def read_speed(session: AsyncSession, base_model: str) -> Speed | None:
    """Of the last run with this base model whose trainer told how far it was, and when.

    Ours does with every step, OpenAI's does not: None where no run has gone on for ten seconds.
    """
    runs = await session.scalars(
        select(Run.id)
        .where(Run.base_model == base_model, Run.trained_tokens.is_not(None))
        .order_by(Run.id.desc())
        .limit(_RUNS)
    )
    for run_id in runs.all():
        events = await session.execute(
            select(RunEvent.created_at, RunEvent.data)
            .where(RunEvent.run_id == run_id, RunEvent.provider_id.is_not(None))
            .order_by(RunEvent.id)
        )
        speed = _reckon([(at, data) for at, data in events])
        if speed is not None:
            return Speed(run_id=run_id, tokens_per_second=speed)
    return None


def _reckon(events: Sequence[tuple[datetime, dict[str, Any]]]) -> float | None:
    """From the first step that was told to the last."""
    told = [(at, data["elapsed_tokens"]) for at, data in events if data.get("elapsed_tokens")]
    if not told:
        return None
    (begun_at, before), (ended_at, after) = min(told), max(told)
    seconds = (ended_at - begun_at).total_seconds()
    return (after - before) / seconds if seconds >= LEAST_S and after > before else None
