"""The trial of a candidate: answers, the threshold, a judge's word, and the decision."""

import asyncio
from dataclasses import asdict, dataclass, field
from typing import Any

import structlog
from openai import OpenAIError
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from finetune import verdict
from finetune.contest import Contest
from finetune.evaluate import Evaluator, keep_answer
from finetune.failure import judge as classify
from finetune.failure import wait_s
from finetune.gate import Decision, GateOptions, decide
from finetune.judge import Judge
from finetune.outcome import as_note, carry_out
from finetune.progress import Progress
from finetune.promote import candidate_of, live_version
from finetune.questions import CANDIDATE, JUDGE, LIVE, Plan, plan_evaluation
from store import Database, EvaluationItem, Mode, ModelVersion, Run, RunEvent, RunState

log = structlog.get_logger(__name__)

JUDGE_ATTEMPTS = 4
"""A judge that is away so often is not waited for."""


@dataclass(frozen=True, kw_only=True)
class TrialOptions:
    """How much is asked, and what the gate asks for."""

    gate: GateOptions = field(default_factory=GateOptions)
    items: int = 150
    """So many questions of the hold-out at most; below about 150 intervals are wide."""
    batch: int = 8
    """Answers in one step."""


class Trial:
    """The steps of the states evaluating and deciding."""

    def __init__(
        self,
        database: Database,
        evaluator: Evaluator,
        progress: Progress,
        options: TrialOptions,
        judge: Judge | None,
    ) -> None:
        self._database = database
        self._evaluator = evaluator
        self._progress = progress
        self._options = options
        self._judge = judge
        self._contest = Contest(progress.recipients, options.gate)

    async def evaluate(self, run: Run) -> None:
        """Some answers; the threshold when it can be fitted; the answers that need it; the judge.

        Raises:
            ModelVersionAwayError, NoAnswerYetError, EmbeddingAwayError: worth another try later.
        """
        async with self._database.read() as session:
            plan = await plan_evaluation(session, run, self._options.items)
            candidate = await candidate_of(session, run)
            live = await self._live(session, run)
        is_fitted = candidate.sure_logprob is not None or candidate.sure_agreement is not None
        if not plan.before_threshold and not is_fitted:
            return await self._fit_threshold(run, candidate)
        if tasks := self._next(plan):
            await self._evaluator.answer_all(run, tasks, candidate=candidate, live=live)
            seen = {**run.verdict, "live_id": live.id if live else None}
            return await self._progress.settle(run, verdict=seen)
        if self._judge is not None and await self._hear_judge(run, self._judge):
            return None
        return await self._progress.settle(run, state=RunState.deciding)

    def _next(self, plan: Plan) -> list[Any]:
        return (plan.before_threshold or plan.after_threshold)[: self._options.batch]

    async def _live(self, session: AsyncSession, run: Run) -> ModelVersion | None:
        """What was live when the evaluation began: all its answers come from the same model."""
        if "live_id" not in run.verdict:
            return await live_version(session)
        live_id = run.verdict["live_id"]
        return await session.get(ModelVersion, live_id) if live_id else None

    async def _fit_threshold(self, run: Run, candidate: ModelVersion) -> None:
        async with self._database.read() as session:
            answers = await verdict.read_answers(session, run)
        threshold = await asyncio.to_thread(verdict.fit, answers)
        async with self._database.write() as session:
            version = await session.get_one(ModelVersion, candidate.id)
            version.sure_logprob = threshold.logprob
            version.sure_agreement = threshold.agreement
            note = f"Fitted the threshold of this version: {threshold.reason}"
            session.add(RunEvent(run_id=run.id, message=note))
            fitted = {**asdict(threshold), "reason": threshold.reason}
            await self._progress.settle_in(
                session, run, verdict={**run.verdict, "threshold": fitted}
            )

    async def _hear_judge(self, run: Run, judge: Judge) -> bool:
        """Let the judge compare some pairs; False when it has seen all, or is not waited for."""
        async with self._database.read() as session:
            answers = await verdict.read_answers(session, run)
        live, candidate = answers[LIVE, Mode.auto], answers[CANDIDATE, Mode.auto]
        missing = [
            (live[item], candidate[item])
            for item in candidate.keys() - answers[JUDGE, Mode.auto].keys()
            if item in live and verdict.is_open(live[item], candidate[item])
        ]
        if not missing or "judge" in run.verdict:
            return False
        try:
            for before, after in missing[: self._options.batch]:
                await self._judge_pair(run, judge, before, after)
        except OpenAIError as error:
            await self._wait_for_judge(run, judge, error)
        else:
            await self._progress.settle(run)
        return True

    async def _wait_for_judge(self, run: Run, judge: Judge, error: OpenAIError) -> None:
        """A few times; a run does not fail for want of a judge."""
        failure, attempts = classify(error), run.attempts + 1
        if failure.is_transient and attempts < JUDGE_ATTEMPTS:
            seconds = wait_s(attempts, failure.retry_after_s)
            return await self._progress.wait(run, seconds, attempts=attempts, error=failure.reason)
        why = f"the judge {judge.model} is away and was not heard: {failure.reason}"
        log.warning("judge_not_heard", run=run.id, why=failure.reason)
        return await self._progress.settle(run, verdict={**run.verdict, "judge": why})

    async def _judge_pair(
        self, run: Run, judge: Judge, live: EvaluationItem, candidate: EvaluationItem
    ) -> None:
        preference = await judge.compare(live, candidate)
        row = EvaluationItem(
            run_id=run.id,
            arm=JUDGE,
            mode=Mode.auto.value,
            item=live.item,
            question=live.question,
            reference=live.reference,
            output=preference.said,
            way=judge.model[:16],
            scores={"preference": preference.value},
        )
        try:
            async with self._database.write() as session:
                await keep_answer(session, row)
        except IntegrityError:
            pass  # another process, whose claim we took over, had heard it

    async def decide(self, run: Run) -> None:
        """Store the verdict and its reasons, and carry it out."""
        async with self._database.read() as session:
            answers = await verdict.read_answers(session, run)
            origins = await verdict.read_origins(session, run)
        compared = verdict.compare(answers, origins)
        decision = await asyncio.to_thread(decide, compared, self._options.gate)
        if away := run.verdict.get("judge"):
            decision.reasons.append(away)
        await self._enter(run, decision, verdict.tally(answers))

    async def _enter(self, run: Run, decision: Decision, board: dict[str, Any]) -> None:
        async with self._database.write() as session:
            version = await candidate_of(session, run)
            version.scores = board
            if run.contest_id is None:
                state, reasons = await carry_out(session, run, decision)
            else:
                state, reasons = RunState.entered, list(decision.reasons)
            said = {**decision.as_json(), "reasons": reasons, "scoreboard": board}
            await self._progress.move(
                session, run, state, as_note(reasons), verdict={**run.verdict, **said}
            )
            if run.contest_id is not None:
                await self._contest.go_on(session, run)
