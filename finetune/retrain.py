"""Retrain: one idempotent step after another takes a run from the approved replies to its verdict.

    collecting -> uploading -> training -> evaluating -> deciding -> promoted | refused
                                                      (or skipped, failed, cancelled)

A step does what the database says comes next and writes down what came of it. Killed anywhere, the
next step goes on: what was made at the provider is looked for before it is made again.
"""

import asyncio
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from openai import AsyncOpenAI
from openai.types.fine_tuning import FineTuningJob
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.answer import Answerer
from bot.claim import make_owner
from finetune import verdict
from finetune.claim import Claim, ClaimLostError
from finetune.dataset import (
    Recipe,
    TooFewExamplesError,
    freeze,
    make_lines,
    write_file,
)
from finetune.evaluate import Evaluator, plan_evaluation
from finetune.examples import Approved
from finetune.failure import judge, wait_s
from finetune.gate import GateOptions
from finetune.promote import add_candidate, candidate_of, live_version, promote
from finetune.provider import Provider, file_name
from finetune.run import AUTOMATIC, was_trained_on
from knowledge import Knowledge
from knowledge.retrieved import Retrieved
from store import Database, Dataset, ModelVersion, Run, RunEvent, RunState, Split, utc_now

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class RetrainOptions:
    """What the settings say about retraining."""

    recipe: Recipe = field(default_factory=Recipe)
    gate: GateOptions = field(default_factory=GateOptions)
    evaluation_items: int = 150
    """So many questions of the hold-out at most; below about 150 intervals are wide."""
    evaluation_batch: int = 8
    """Answers in one step."""
    concurrency: int = 2
    poll_s: float = 5.0
    """How often a job is looked at."""
    lease_s: float = 60.0
    """After so long another process goes on with the run of one that died."""
    max_attempts: int = 8
    """Failed tries of one step before the run fails."""


class Retrainer:
    """Advances the active run; any number of processes may hold one."""

    def __init__(
        self,
        database: Database,
        knowledge: Knowledge,
        answerer: Answerer,
        client: AsyncOpenAI,
        home: Path,
        options: RetrainOptions | None = None,
        *,
        owner: str | None = None,
    ) -> None:
        """`owner` names the only process there can be: after a crash it need not wait."""
        self._database = database
        self._answerer = answerer
        self._provider = Provider(client)
        self._home = home
        self._options = options or RetrainOptions()
        self._evaluator = Evaluator(
            database, knowledge, answerer, concurrency=self._options.concurrency
        )
        self._claim = Claim(database, owner or make_owner(), self._options.lease_s)
        self._one_at_a_time = asyncio.Lock()

    async def step(self) -> bool:
        """Advance the active run by one step; False when there is none that is due."""
        async with self._one_at_a_time:
            return await self._step()

    async def _step(self) -> bool:
        run = await self._claim.take()
        if run is None:
            return False
        try:
            async with self._claim.keep(run):
                await self._try(run)
        except ClaimLostError as error:
            log.warning("run_was_taken_over", run=run.id, reason=str(error))
        return True

    async def _try(self, run: Run) -> None:
        try:
            await self._advance(run)
        except ClaimLostError:
            raise
        except TooFewExamplesError as error:
            await self._end(run, RunState.skipped, str(error))
        except Exception as error:
            await self._fail_or_wait(run, error)

    async def _advance(self, run: Run) -> None:
        if run.cancel_asked_by is not None:
            return await self._cancel(run)
        match run.state:
            case RunState.collecting:
                await self._collect(run)
            case RunState.uploading:
                await self._upload(run)
            case RunState.training if run.job_id is None:
                await self._create_job(run)
            case RunState.training:
                await self._follow_job(run)
            case RunState.evaluating:
                await self._evaluate(run)
            case RunState.deciding:
                await self._decide(run)
        return None

    async def _collect(self, run: Run) -> None:
        recipe = self._options.recipe
        lines = await make_lines(self._database, self._look_up, recipe)
        async with self._database.write() as session:
            dataset = await freeze(session, lines, recipe)
            if run.trigger in AUTOMATIC and await was_trained_on(session, run, dataset):
                reason = f"nothing new: dataset v{dataset.version} was trained on before"
                await self._move(session, run, RunState.skipped, reason, dataset_id=dataset.id)
            else:
                note = (
                    f"Froze dataset v{dataset.version}: {dataset.train_count} examples to train "
                    f"on, {dataset.holdout_count} held out"
                )
                await self._move(session, run, RunState.uploading, note, dataset_id=dataset.id)

    async def _look_up(self, example: Approved) -> list[Retrieved]:
        return list(
            await self._answerer.look_up(
                example.question,
                example.history,
                exclude_conversation=example.conversation_id,
            )
        )

    async def _upload(self, run: Run) -> None:
        dataset = await self._dataset(run)
        file_ids = {}
        for side in Split:
            path = await write_file(self._database, dataset, side, self._home)
            file_ids[side] = await self._provider.upload(path, file_name(dataset, side))
        async with self._database.write() as session:
            await self._move(
                session,
                run,
                RunState.training,
                f"Uploaded {file_ids[Split.train]} and {file_ids[Split.holdout]}",
                training_file_id=file_ids[Split.train],
                validation_file_id=file_ids[Split.holdout],
            )

    async def _create_job(self, run: Run) -> None:
        job = await self._provider.create_job(run, await self._dataset(run))
        await self._settle(run, job_id=job.id, job_status=job.status)

    async def _follow_job(self, run: Run) -> None:
        assert run.job_id is not None
        job = await self._provider.retrieve_job(run.job_id)
        async with self._database.read() as session:
            rows = await session.scalars(
                select(RunEvent.provider_id).where(RunEvent.run_id == run.id)
            )
            known = {row for row in rows if row is not None}
        events = await self._provider.new_events(run, known)
        async with self._database.write() as session:
            session.add_all(events)
            await self._follow(session, run, job)

    async def _follow(self, session: AsyncSession, run: Run, job: FineTuningJob) -> None:
        """What the job's status means for the run."""
        if job.status == "succeeded" and job.fine_tuned_model:
            await add_candidate(session, run, job.fine_tuned_model)
            await self._move(
                session,
                run,
                RunState.evaluating,
                f"Trained {job.fine_tuned_model}",
                job_status=job.status,
                tuned_model=job.fine_tuned_model,
                trained_tokens=job.trained_tokens,
            )
        elif job.status == "failed":
            why = job.error.message if job.error and job.error.message else "it gives no reason"
            reason = f"training failed: {why}"
            await self._move(session, run, RunState.failed, reason, job_status=job.status)
        elif job.status == "cancelled":
            reason = "the job was cancelled at the provider"
            await self._move(session, run, RunState.cancelled, reason, job_status=job.status)
        else:
            due_at = utc_now() + timedelta(seconds=self._options.poll_s)
            await self._claim.settle(session, run, job_status=job.status, due_at=due_at, attempts=0)

    async def _evaluate(self, run: Run) -> None:
        """Some answers; the threshold when it can be fitted; then the answers that need it."""
        batch = self._options.evaluation_batch
        async with self._database.read() as session:
            plan = await plan_evaluation(session, run, self._options.evaluation_items)
            candidate = await candidate_of(session, run)
            live = await self._live(session, run)
        if plan.before_threshold:
            tasks = plan.before_threshold[:batch]
        elif candidate.sure_logprob is None and candidate.sure_agreement is None:
            return await self._fit_threshold(run, candidate)
        elif plan.after_threshold:
            tasks = plan.after_threshold[:batch]
        else:
            return await self._settle(run, state=RunState.deciding)
        await self._evaluator.answer_all(run, tasks, candidate=candidate, live=live)
        return await self._settle(
            run, verdict={**run.verdict, "live_id": live.id if live else None}
        )

    async def _live(self, session: AsyncSession, run: Run) -> ModelVersion | None:
        """What was live when the evaluation began: all its answers come from the same model."""
        if "live_id" not in run.verdict:
            return await live_version(session)
        live_id = run.verdict["live_id"]
        return await session.get(ModelVersion, live_id) if live_id else None

    async def _fit_threshold(self, run: Run, candidate: ModelVersion) -> None:
        async with self._database.write() as session:
            threshold = verdict.fit(await verdict.read_answers(session, run))
            version = await session.get_one(ModelVersion, candidate.id)
            version.sure_logprob = threshold.logprob
            version.sure_agreement = threshold.agreement
            note = f"Fitted the threshold of this version: {threshold.reason}"
            session.add(RunEvent(run_id=run.id, message=note))
            fitted = {**asdict(threshold), "reason": threshold.reason}
            await self._claim.settle(
                session, run, verdict={**run.verdict, "threshold": fitted}, attempts=0
            )

    async def _decide(self, run: Run) -> None:
        async with self._database.write() as session:
            answers = await verdict.read_answers(session, run)
            decision = await verdict.weigh(session, run, answers, self._options.gate)
            board = verdict.tally(answers)
            version = await candidate_of(session, run)
            version.scores = board
            live = await live_version(session)
            reasons, promotes = list(decision.reasons), decision.promote
            if (live.id if live else None) != run.verdict.get("live_id"):
                reasons.insert(0, "another model went live meanwhile: run it again to compare")
                promotes = False
            if promotes:
                await promote(session, version.id, f"run {run.id}")
            state = RunState.promoted if promotes else RunState.refused
            said = {**decision.as_json(), "promote": promotes, "reasons": reasons}
            await self._move(
                session,
                run,
                state,
                "; ".join(reasons),
                verdict={**run.verdict, **said, "scoreboard": board},
            )

    async def _cancel(self, run: Run) -> None:
        if run.state is RunState.training:
            job_id = run.job_id
            if job_id is None and (job := await self._provider.find_job(run)):
                job_id = job.id
            if job_id is not None:
                await self._provider.cancel_job(job_id)
        await self._end(run, RunState.cancelled, f"cancelled by {run.cancel_asked_by}")

    async def _fail_or_wait(self, run: Run, error: Exception) -> None:
        """Bounded tries with growing waits; what no try can mend ends the run at once."""
        failure = judge(error)
        attempts = run.attempts + 1
        log.warning(
            "step_failed", run=run.id, state=run.state, attempts=attempts, why=failure.reason
        )
        if not failure.is_transient:
            await self._end(run, RunState.failed, failure.reason)
        elif attempts >= self._options.max_attempts:
            reason = f"{failure.reason} (given up after {attempts} tries while {run.state})"
            await self._end(run, RunState.failed, reason)
        else:
            due_at = utc_now() + timedelta(seconds=wait_s(attempts, failure.retry_after_s))
            await self._settle(run, attempts=attempts, due_at=due_at, error=failure.reason)

    async def _end(self, run: Run, state: RunState, reason: str) -> None:
        async with self._database.write() as session:
            await self._move(session, run, state, reason)

    async def _settle(self, run: Run, **changes: Any) -> None:
        async with self._database.write() as session:
            await self._claim.settle(session, run, **{"attempts": 0, "error": None, **changes})

    async def _move(
        self, session: AsyncSession, run: Run, state: RunState, note: str, **changes: Any
    ) -> None:
        """Into the next state, with a line in the run's story; the claim is given back."""
        changes = {"attempts": 0, "error": None, "due_at": utc_now(), **changes}
        if state.is_final:
            changes |= {"is_active": False, "ended_at": utc_now()}
        if state in (RunState.skipped, RunState.failed, RunState.cancelled):
            changes["error"] = note
        level = "error" if state is RunState.failed else "info"
        session.add(RunEvent(run_id=run.id, level=level, message=note))
        await self._claim.settle(session, run, state=state, **changes)
        log.info("run_moved", run=run.id, state=state)

    async def _dataset(self, run: Run) -> Dataset:
        async with self._database.read() as session:
            return await session.get_one(Dataset, run.dataset_id)
