"""What the provider is asked for: files and jobs, each found again before it is made twice.

A process may die between a request and the note of its result. So a file carries the key of its
run in its name and a job in its metadata: whoever comes next looks first, and when the run has
ended, what it made is found and removed.
"""

from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI, NotFoundError
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent

from store import Dataset, Method, Run, RunEvent, Split

UPLOAD_TIMEOUT_S = 600.0
PAGE = 100
ENDED = ("succeeded", "failed", "cancelled")
"""Statuses of a job that has come to its end."""
AUTO = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}


class Provider:
    """Files and fine-tuning jobs through the `openai` client."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client
        self.url = str(client.base_url)
        # The client would repeat a creation whose response was lost; we look for its result first.
        self._once = client.with_options(max_retries=0)

    async def upload(self, path: Path, name: str) -> str:
        """The id of the file with this name; uploaded only when it is not there yet."""
        size_bytes = path.stat().st_size
        async for file in self._client.files.list(purpose="fine-tune"):
            if file.filename == name and file.bytes == size_bytes and file.status != "error":
                return file.id
        with path.open("rb") as content:
            created = await self._once.with_options(timeout=UPLOAD_TIMEOUT_S).files.create(
                file=(name, content, "application/jsonl"), purpose="fine-tune"
            )
        return created.id

    async def create_job(self, run: Run, dataset: Dataset) -> FineTuningJob:
        """The job of a run; created only when it is not there yet."""
        if found := await self.find_job(run):
            return found
        assert run.training_file_id is not None
        kind = "dpo" if run.method is Method.dpo else "supervised"
        method: Any = {"type": kind, kind: {"hyperparameters": {**AUTO, **run.hyperparameters}}}
        return await self._once.fine_tuning.jobs.create(
            model=run.base_model,
            training_file=run.training_file_id,
            validation_file=run.validation_file_id,
            method=method,
            # The same dataset and recipe give the same model, so that a run can be repeated.
            seed=int(dataset.sha256[:7], 16),
            suffix=f"nod-v{dataset.version}",
            metadata={"nod_run": run_key(run)},
        )

    async def find_job(self, run: Run) -> FineTuningJob | None:
        """The job that was created for this run, if there is one."""
        key = run_key(run)
        async for job in self._client.fine_tuning.jobs.list(limit=PAGE, metadata={"nod_run": key}):
            if (job.metadata or {}).get("nod_run") == key:  # some providers ignore the filter
                return job
        return None

    async def retrieve_job(self, job_id: str) -> FineTuningJob:
        return await self._client.fine_tuning.jobs.retrieve(job_id)

    async def cancel_job(self, job_id: str) -> None:
        """Ask for the end of a job that has not ended; one that is gone has."""
        with suppress(NotFoundError):
            job = await self.retrieve_job(job_id)
            if job.status not in ENDED:
                await self._client.fine_tuning.jobs.cancel(job_id)

    async def find_files(self, run: Run) -> list[str]:
        """The ids of all files that were uploaded for this run and are still there."""
        files = self._client.files.list(purpose="fine-tune")
        return [file.id async for file in files if run_key(run) in file.filename]

    async def delete_file(self, file_id: str) -> None:
        with suppress(NotFoundError):
            await self._client.files.delete(file_id)

    async def new_events(self, run: Run, known: Collection[str]) -> list[RunEvent]:
        """The provider's events that we do not have yet, oldest first."""
        assert run.job_id is not None
        fresh: list[RunEvent] = []
        async for event in self._client.fine_tuning.jobs.list_events(run.job_id, limit=PAGE):
            if event.id in known:
                break  # the newest come first
            fresh.append(_as_row(run.id, event))
        return fresh[::-1]


def file_name(run: Run, dataset: Dataset, side: Split) -> str:
    """The name by which an upload is found again."""
    return f"nod-v{dataset.version}-{dataset.sha256[:12]}-{run_key(run)}-{side}.jsonl"


def run_key(run: Run) -> str:
    """Names a run at the provider: another database that starts at run 1 names it otherwise."""
    return f"{run.id}-{run.created_at:%Y%m%dT%H%M%S.%f}"


def _as_row(run_id: int, event: FineTuningJobEvent) -> RunEvent:
    return RunEvent(
        run_id=run_id,
        provider_id=event.id,
        level=event.level,
        message=event.message,
        data=_measured(event.data) if isinstance(event.data, dict) else {},
        created_at=datetime.fromtimestamp(event.created_at, UTC),
    )


def _measured(data: dict[str, Any]) -> dict[str, Any]:
    """Without what is no number, such as the loss of a training that diverged: no curve has it."""
    return {
        key: value for key, value in data.items() if not isinstance(value, float) or isfinite(value)
    }
