"""The outcome: what becomes of a candidate after the gate has spoken."""

from sqlalchemy.ext.asyncio import AsyncSession

from finetune.gate import Decision
from finetune.promote import candidate_of, hold_live, promote, start_canary
from store import Run, RunState
from store.switches import read_switches


async def carry_out(
    session: AsyncSession, run: Run, decision: Decision
) -> tuple[RunState, list[str]]:
    """Promote the candidate, give it to a share of the customers, or leave it; and why.

    In the place of a version that has learnt what was forgotten, one that is not shown to be worse
    is enough.
    Nothing goes live on a comparison with what is not live any more.
    """
    version, live = await candidate_of(session, run), await hold_live(session)
    reasons = list(decision.reasons)
    if (live.id if live else None) != run.verdict.get("live_id"):
        reasons.insert(0, "another model went live meanwhile: run it again to compare")
        return RunState.refused, reasons
    if version.tainted_at is not None:
        reasons.insert(0, "something that it learnt was forgotten meanwhile: run it again")
        return RunState.refused, reasons
    if live is not None and live.tainted_at is not None and not decision.is_shown_worse:
        reasons.insert(0, "what is live has learnt what was forgotten, and this one is no worse")
        await promote(session, version.id, f"run {run.id}")
        return RunState.promoted, reasons
    if not decision.promote:
        return RunState.refused, reasons
    if share := (await read_switches(session)).canary_share:
        await start_canary(session, version.id, f"run {run.id}")
        reasons.insert(0, f"{share:.0%} of the conversations try it before it goes live")
        return RunState.canary, reasons
    await promote(session, version.id, f"run {run.id}")
    return RunState.promoted, reasons


def as_note(reasons: list[str]) -> str:
    """The reasons as one line of the run's story: the first ones say what decided."""
    more = len(reasons) - 3
    return "; ".join(reasons[:3]) + (f"; and {more} more" if more > 0 else "")
