"""Training: what a run has done at the provider, from the upload to the tuned model."""

from datetime import timedelta
from pathlib import Path

import structlog
from openai import APIError
from openai.types.fine_tuning import FineTuningJob
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from finetune.budget import Limits, cost_of, estimate_cost, refuse_over_limits
from finetune.failure import judge
from finetune.files import write_file
from finetune.progress import Progress
from finetune.promote import add_candidate
from finetune.provider import ENDED, Provider, file_name
from store import Database, Dataset, Run, RunEvent, RunState, Split, utc_now

log = structlog.get_logger(__name__)

EVENT_ATTEMPTS = 4
"""So often the last events of a job are asked for."""


class Training:
    """The steps of the states uploading and training."""

    def __init__(
        self,
        database: Database,
        provider: Provider,
        progress: Progress,
        home: Path,
        limits: Limits,
        *,
        poll_s: float,
    ) -> None:
        self._database = database
        self._provider = provider
        self._progress = progress
        self._home = home
        self._limits = limits
        self._poll_s = poll_s

    async def upload(self, run: Run) -> None:
        """Put both files at the provider, unless a limit speaks against the job.

        Raises:
            OverLimitError: names the limit; nothing was uploaded.
        """
        async with self._database.read() as session:
            dataset = await session.get_one(Dataset, run.dataset_id)
            await refuse_over_limits(session, run, dataset, self._limits)
        file_ids = {}
        for side in Split:
            path = await write_file(self._database, dataset, side, self._home)
            file_ids[side] = await self._provider.upload(path, file_name(run, dataset, side))
        async with self._database.write() as session:
            await self._progress.move(
                session,
                run,
                RunState.training,
                f"Uploaded {file_ids[Split.train]} and {file_ids[Split.holdout]}",
                training_file_id=file_ids[Split.train],
                validation_file_id=file_ids[Split.holdout],
            )

    async def step(self, run: Run) -> None:
        """Create the job, or see how far it is."""
        if run.job_id is None:
            await self._create_job(run)
        else:
            await self._follow_job(run, run.job_id)

    async def _create_job(self, run: Run) -> None:
        async with self._database.read() as session:
            dataset = await session.get_one(Dataset, run.dataset_id)
        job = await self._provider.create_job(run, dataset)
        # The estimate counts against the month until the provider says what was trained.
        cost = estimate_cost(run, dataset, self._limits)
        await self._progress.settle(run, job_id=job.id, job_status=job.status, cost=cost)

    async def _follow_job(self, run: Run, job_id: str) -> None:
        job = await self._provider.retrieve_job(job_id)
        async with self._database.read() as session:
            rows = await session.scalars(
                select(RunEvent.provider_id).where(RunEvent.run_id == run.id)
            )
            known = {row for row in rows if row is not None}
        events = await self._hear(run, job, known)
        async with self._database.write() as session:
            session.add_all(events)
            await self._take(session, run, job)

    async def _hear(self, run: Run, job: FineTuningJob, known: set[str]) -> list[RunEvent]:
        """What the job tells on its way: good to know, and no reason to give it up."""
        try:
            return await self._provider.new_events(run, known)
        except APIError as error:
            has_ended = job.status in ENDED
            if has_ended and judge(error).is_transient and run.attempts < EVENT_ATTEMPTS:
                raise  # the last ones come now or never
            log.debug("no_events", run=run.id, why=type(error).__name__)
            return []

    async def _take(self, session: AsyncSession, run: Run, job: FineTuningJob) -> None:
        """What the job's status means for the run."""
        status = {"job_status": job.status}
        if job.status == "succeeded" and job.fine_tuned_model:
            await add_candidate(session, run, job.fine_tuned_model)
            await self._progress.move(
                session,
                run,
                RunState.evaluating,
                f"Trained {job.fine_tuned_model}",
                tuned_model=job.fine_tuned_model,
                trained_tokens=job.trained_tokens,
                cost=cost_of(run, job.trained_tokens, self._limits),
                **status,
            )
        elif job.status == "failed":
            why = job.error.message if job.error and job.error.message else "it gives no reason"
            reason = f"training failed: {why}"
            await self._progress.move(session, run, RunState.failed, reason, cost=0.0, **status)
        elif job.status == "cancelled":
            reason = "the job was cancelled at the provider"
            await self._progress.move(session, run, RunState.cancelled, reason, **status)
        else:
            due_at = utc_now() + timedelta(seconds=self._poll_s)
            await self._progress.settle_in(session, run, due_at=due_at, **status)
