"""A contest: several base models are trained on one dataset, one after the other; the best one
goes through the gate, and the others stay candidates.

Each base model is a run of its own. The end of one begins the next in the same transaction, on the
same dataset; the end of the last one decides.
"""

from dataclasses import dataclass
from statistics import fmean

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from finetune.announce import Recipients
from finetune.gate import Compared, Decision, GateOptions, measure
from finetune.outcome import as_note, carry_out
from finetune.progress import revise_end
from finetune.questions import CANDIDATE
from finetune.verdict import Answers, Origin, read_answers, read_origins
from store import Mode, Run, RunState


@dataclass(frozen=True, kw_only=True)
class _Entry:
    run: Run
    answers: Answers

    def chrf(self, items: set[int]) -> float:
        rows = self.answers[CANDIDATE, Mode.auto]
        return fmean(rows[item].scores["chrf"] for item in items)


class Contest:
    """What follows from the end of a run that has rivals."""

    def __init__(self, recipients: Recipients, gate: GateOptions) -> None:
        self._recipients = recipients
        self._gate = gate

    async def go_on(self, session: AsyncSession, run: Run) -> None:
        """Begin the next base model's run, or decide among those that were measured."""
        if run.rival_bases:
            session.add(_next_run(run))
            await session.flush()
        else:
            await self._decide(session, run)

    async def abandon(self, session: AsyncSession, run: Run, who: str) -> None:
        """A person cancelled it: what was measured stays a candidate."""
        for entered in await _entered(session, run):
            note = f"its contest was cancelled by {who}"
            await revise_end(session, self._recipients, entered.id, RunState.refused, note)

    async def _decide(self, session: AsyncSession, run: Run) -> None:
        runs = await _entered(session, run)
        entries = [_Entry(run=each, answers=await read_answers(session, each)) for each in runs]
        if not entries:
            return
        items = set.intersection(*(set(each.answers[CANDIDATE, Mode.auto]) for each in entries))
        if not items:
            await self._give_up(session, runs)
            return
        best = max(entries, key=lambda each: (each.chrf(items), -each.run.id))
        origins = await read_origins(session, best.run)
        decision = _decision_of(best.run)
        state, reasons = await carry_out(session, best.run, decision)
        news = [reason for reason in reasons if reason not in decision.reasons]
        others = [each for each in entries if each is not best]
        gains = [self._say_gain(best, other, origins) for other in others]
        await revise_end(session, self._recipients, best.run.id, state, as_note([*gains, *news]))
        for other in others:
            note = f"run {best.run.id} on {best.run.base_model} came out ahead"
            await revise_end(session, self._recipients, other.run.id, RunState.refused, note)

    async def _give_up(self, session: AsyncSession, runs: list[Run]) -> None:
        note = "what they were measured with was forgotten meanwhile: run it again to compare"
        for each in runs:
            await revise_end(session, self._recipients, each.id, RunState.refused, note)

    def _say_gain(self, best: _Entry, other: _Entry, origins: dict[int, Origin]) -> str:
        ours, theirs = best.answers[CANDIDATE, Mode.auto], other.answers[CANDIDATE, Mode.auto]
        compared = [
            Compared(
                conversation_id=origins[item].conversation_id,
                live=theirs[item].scores,
                candidate=ours[item].scores,
            )
            for item in ours
            if item in theirs
        ]
        gain = measure(compared, "chrf", self._gate.confidence)
        assert gain is not None
        return (
            f"{best.run.base_model} came out ahead of {other.run.base_model}: chrF differs by "
            f"{gain.mean:+.1f} ({gain.low:+.1f} to {gain.high:+.1f})"
        )


async def _entered(session: AsyncSession, run: Run) -> list[Run]:
    found = await session.scalars(
        select(Run)
        .where(Run.contest_id == run.contest_id, Run.state == RunState.entered)
        .order_by(Run.id)
        .execution_options(populate_existing=True)
    )
    return list(found)


def _next_run(run: Run) -> Run:
    base_model, *rivals = run.rival_bases
    return Run(
        # Without a dataset the first one ended before it froze any; the next one tries.
        state=RunState.uploading if run.dataset_id else RunState.collecting,
        trigger=run.trigger,
        requested_by=run.requested_by,
        method=run.method,
        base_model=base_model,
        rival_bases=rivals,
        contest_id=run.contest_id,
        hyperparameters=run.hyperparameters,
        dataset_id=run.dataset_id,
    )


def _decision_of(run: Run) -> Decision:
    """What the gate said when this run was measured."""
    return Decision(
        promote=bool(run.verdict.get("promote")),
        asks_person=bool(run.verdict.get("asks_person")),
        reasons=list(run.verdict.get("reasons", ())),
        conversations=int(run.verdict.get("conversations", 0)),
    )
