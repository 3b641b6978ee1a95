"""Retrain: one idempotent step after another takes a run from the approved replies to its verdict.

    collecting -> uploading -> training -> evaluating -> deciding -> promoted | canary | refused
                                                      (or skipped, failed, cancelled; in a contest
                                                       between base models: entered)

A step does what the database says comes next and writes down what came of it. Killed anywhere, the
next step goes on: what was made at the provider is looked for before it is made again, and what an
ended run left there is removed by steps of its own.
"""

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog
from openai import AsyncOpenAI

from bot.answer import Answerer
from bot.claim import make_owner
from finetune.announce import Recipients
from finetune.budget import Limits, OverLimitError
from finetune.claim import Claim, ClaimLostError
from finetune.contest import Contest
from finetune.dataset import TooFewExamplesError, freeze, make_lines
from finetune.evaluate import Evaluator
from finetune.examples import Approved
from finetune.failure import Failure, judge, wait_s
from finetune.judge import Judge
from finetune.leftovers import Leftovers
from finetune.progress import Progress
from finetune.provider import Provider
from finetune.recipe import Recipe
from finetune.run import AUTOMATIC, standing_refusal, too_few_new, was_trained_on
from finetune.training import Training
from finetune.trial import Trial, TrialOptions
from knowledge import Knowledge
from knowledge.retrieved import Retrieved
from store import Database, Run, RunState

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class RetrainOptions:
    """What the settings say about retraining."""

    recipe: Recipe = field(default_factory=Recipe)
    limits: Limits = field(default_factory=Limits)
    trial: TrialOptions = field(default_factory=TrialOptions)
    recipients: Recipients = field(default_factory=Recipients)
    concurrency: int = 2
    poll_s: float = 5.0
    """How often a job is looked at."""
    lease_s: float = 60.0
    """After so long another process goes on with the run of one that died."""
    max_attempts: int = 8
    """Failed tries of one step before the run fails; about three minutes."""
    max_away_attempts: int = 20
    """The same where a model does not answer (yet): about a quarter of an hour to load."""
    max_unseen_attempts: int = 1440
    """The same where a job is under way and the provider does not answer: about a day. The job goes
    on without us, and whoever gives it up has paid for nothing."""


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
        judge: Judge | None = None,
        owner: str | None = None,
    ) -> None:
        """`owner` names the only process there can be: after a crash it need not wait."""
        self._database = database
        self._knowledge = knowledge
        self._answerer = answerer
        self._options = options = options or RetrainOptions()
        self._provider = Provider(client)
        self._claim = Claim(database, owner or make_owner(), options.lease_s)
        self._progress = Progress(database, self._claim, options.recipients)
        self._training = Training(
            database, self._provider, self._progress, home, options.limits, poll_s=options.poll_s
        )
        evaluator = Evaluator(database, knowledge, answerer, concurrency=options.concurrency)
        self._trial = Trial(database, evaluator, self._progress, options.trial, judge)
        self._contest = Contest(options.recipients, options.trial.gate)
        self._leftovers = Leftovers(database, self._provider)
        self._one_at_a_time = asyncio.Lock()

    async def step(self) -> bool:
        """Advance the active run by one step, or clean up after an ended one; False when idle."""
        async with self._one_at_a_time:
            return await self._step() or await self._leftovers.step()

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
        except (TooFewExamplesError, OverLimitError) as error:
            await self._end(run, RunState.skipped, str(error))
        except Exception as error:
            await self._fail_or_wait(run, judge(error))

    async def _advance(self, run: Run) -> None:
        if run.cancel_asked_by is not None:
            return await self._cancel(run, run.cancel_asked_by)
        match run.state:
            case RunState.collecting:
                await self._collect(run)
            case RunState.uploading:
                await self._training.upload(run)
            case RunState.training:
                await self._training.step(run)
            case RunState.evaluating:
                await self._trial.evaluate(run)
            case RunState.deciding:
                await self._trial.decide(run)
        return None

    async def _collect(self, run: Run) -> None:
        async with self._database.read() as session:
            too_few = await too_few_new(session, run)
        if too_few is not None:
            return await self._end(run, RunState.skipped, too_few)
        recipe = replace(self._options.recipe, method=run.method)
        lines = await make_lines(
            self._database, self._look_up, recipe, self._knowledge.embed_passages
        )
        async with self._database.write() as session:
            dataset = await freeze(session, lines, recipe)
            reason = None
            if run.trigger in AUTOMATIC:
                reason = await standing_refusal(session, run, self._provider.url)
                if await was_trained_on(session, run, dataset):
                    reason = f"nothing new: dataset v{dataset.version} was trained on before"
            note = reason or (
                f"Froze dataset v{dataset.version}: {dataset.train_count} examples to train "
                f"on, {dataset.holdout_count} held out"
            )
            state = RunState.skipped if reason else RunState.uploading
            await self._progress.move(session, run, state, note, dataset_id=dataset.id)
        return None

    async def _look_up(self, example: Approved) -> list[Retrieved]:
        return list(
            await self._answerer.look_up(
                example.question,
                example.history,
                exclude_conversation=example.conversation_id,
            )
        )

    async def _cancel(self, run: Run, who: str) -> None:
        """At once, whatever the provider says: its job is a leftover, and is cancelled as one."""
        async with self._database.write() as session:
            note = f"cancelled by {who}"
            await self._progress.move(session, run, RunState.cancelled, note)
            if run.contest_id is not None:
                await self._contest.abandon(session, run, who)

    async def _fail_or_wait(self, run: Run, failure: Failure) -> None:
        """Bounded tries with growing waits; what no try can mend ends the run at once."""
        attempts = run.attempts + 1
        log.warning(
            "step_failed", run=run.id, state=run.state, attempts=attempts, why=failure.reason
        )
        most = self._most_attempts(run, failure)
        if not failure.is_transient:
            await self._end(run, RunState.failed, failure.reason, failure)
        elif attempts >= most:
            reason = f"{failure.reason} (given up after {attempts} tries while {run.state})"
            await self._end(run, RunState.failed, reason)
        else:
            seconds = wait_s(attempts, failure.retry_after_s)
            await self._progress.wait(run, seconds, attempts=attempts, error=failure.reason)

    def _most_attempts(self, run: Run, failure: Failure) -> int:
        if run.state is RunState.training and run.job_id is not None and failure.is_unanswered:
            return self._options.max_unseen_attempts
        return self._options.max_away_attempts if failure.is_away else self._options.max_attempts

    async def _end(
        self, run: Run, state: RunState, reason: str, failure: Failure | None = None
    ) -> None:
        refusal = failure.refusal if failure else None
        verdict = {**run.verdict, "trainer": self._provider.url} if refusal else run.verdict
        async with self._database.write() as session:
            await self._progress.move(session, run, state, reason, refusal=refusal, verdict=verdict)
            if run.contest_id is not None:
                await self._contest.go_on(session, run)
