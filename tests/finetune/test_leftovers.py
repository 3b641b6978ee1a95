"""Whatever the provider does, a run ends in the right state and leaves nothing there."""

from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from finetune import leftovers
from finetune.run import cancel_run, request_run
from store import Database, Dataset, Run, RunEvent, RunState
from tests.finetune.faulty_proxy import Spoiled, faulty_proxy
from tests.finetune.shop import BASE_MODEL, Shop, approve_many, open_shop, quick_options
from tests.finetune.test_retrain import only_dataset, provider_files, provider_jobs, request

DOWN = Spoiled(500, headers={"retry-after": "0"})


def is_call(call: str, method: str, path: str) -> bool:
    """`GET /fine_tuning/jobs/*` is any path below."""
    wanted_method, _, wanted = call.partition(" ")
    if method != wanted_method:
        return False
    if wanted.endswith("/*"):
        return path.startswith(wanted[:-1]) and "/" not in path.removeprefix(wanted[:-1])
    return path == wanted


@pytest.mark.parametrize(
    "call",
    [
        "GET /files",
        "POST /files",
        "GET /fine_tuning/jobs",
        "POST /fine_tuning/jobs",
        "GET /fine_tuning/jobs/*",
    ],
)
async def test_a_call_that_always_fails_ends_the_run_and_its_traces_go_when_the_provider_is_back(
    database: Database, tmp_path: Path, modelserver_url: str, call: str
) -> None:
    is_down, counts = True, Counter[str]()

    def spoil(method: str, path: str, before: int) -> Spoiled | None:
        if is_down and is_call(call, method, path):
            # A file lies there all the same, and nobody hears of it.
            return Spoiled(is_lost=True) if call == "POST /files" else DOWN
        counts[f"{method} {path}"] += 1
        return None

    await approve_many(database)
    options = quick_options(max_attempts=2, max_unseen_attempts=2)
    with faulty_proxy(modelserver_url, spoil) as url:
        async with open_shop(database, tmp_path, url, options, max_retries=0) as shop:
            run = await request(database)
            run = await shop.run_to_the_end()
            assert run.state is RunState.failed
            assert "given up after 2 tries" in (run.error or "")
            is_down = False
            await shop.clean_up()
            dataset = await only_dataset(database)
            assert await provider_files(shop, dataset) == [], "no orphan"
            assert len(await provider_jobs(shop, run)) <= 1
            assert counts["POST /files"] <= 2
            assert await running_jobs(shop, run) == []


async def running_jobs(shop: Shop, run: Run) -> list[str]:
    ended = ("succeeded", "failed", "cancelled")
    jobs = [await shop.client.fine_tuning.jobs.retrieve(i) for i in await provider_jobs(shop, run)]
    return [job.status for job in jobs if job.status not in ended]


async def test_a_run_is_cancelled_at_once_while_the_provider_is_down_and_its_job_later(
    database: Database, tmp_path: Path, slow_modelserver_url: str
) -> None:
    is_down = False

    def spoil(method: str, path: str, before: int) -> Spoiled | None:
        return DOWN if is_down else None

    await approve_many(database)
    with faulty_proxy(slow_modelserver_url, spoil) as url:
        async with open_shop(database, tmp_path, url, max_retries=0) as shop:
            run = await request(database)
            while run.job_id is None:
                await shop.retrainer.step()
                async with database.read() as session:
                    run = await session.get_one(Run, run.id)
            is_down = True
            await cancel_run(database, run.id, "ada")
            run = await shop.run_to_the_end()
            assert run.state is RunState.cancelled
            is_down = False
            await shop.clean_up()
            job = await shop.client.fine_tuning.jobs.retrieve(run.job_id or "")
            assert job.status == "cancelled"
            dataset = await only_dataset(database)
            assert await provider_files(shop, dataset) == []


async def test_a_provider_that_never_comes_back_is_told_of_by_the_names_of_what_stays(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "MOST_ATTEMPTS", 2)
    monkeypatch.setattr(leftovers, "FIRST_WAIT_S", 0.01)
    async with database.write() as session:
        dataset = Dataset(version=1, sha256="a", train_count=10, holdout_count=1)
        session.add(dataset)
        await session.flush()
        run = Run(
            trigger="command",
            base_model=BASE_MODEL,
            state=RunState.failed,
            is_active=False,
            dataset_id=dataset.id,
        )
        session.add(run)
        await session.flush()
        run.leftovers_due_at = run.created_at
    away = "http://127.0.0.1:9/v1"
    async with open_shop(database, tmp_path, away, max_retries=0) as shop:
        await shop.clean_up()
    async with database.read() as session:
        told = (await session.scalars(select(RunEvent))).one()
    assert "gave up removing" in told.message
    assert f"{run.id}-" in told.message


async def test_after_a_refusal_for_good_the_clock_uploads_nothing_again_and_a_person_may(
    database: Database, tmp_path: Path, modelserver_url: str
) -> None:
    counts = Counter[str]()

    def refuse(method: str, path: str, before: int) -> Spoiled | None:
        counts[f"{method} {path}"] += 1
        is_create = (method, path) == ("POST", "/fine_tuning/jobs")
        message = "Fine-tuning is no longer available to new customers."
        return Spoiled(403, message, code="permission_denied") if is_create else None

    await approve_many(database)
    with faulty_proxy(modelserver_url, refuse) as url:
        async with open_shop(database, tmp_path, url, max_retries=0) as shop:
            await request(database)
            first = await shop.run_to_the_end()
            assert (first.state, first.refusal) == (RunState.failed, "closed")
            assert counts["POST /files"] == 2
            await request(database, trigger="schedule")
            second = await shop.run_to_the_end()
            assert second.state is RunState.skipped
            assert "nothing was uploaded again" in (second.error or "")
            assert counts["POST /files"] == 2
            await request(database)
            third = await shop.run_to_the_end()
            assert third.state is RunState.failed
            assert counts["POST /files"] == 4
            await shop.clean_up()
            assert await provider_files(shop, await only_dataset(database)) == []


async def test_a_run_over_a_limit_uploads_nothing(
    database: Database, tmp_path: Path, modelserver_url: str
) -> None:
    from finetune.budget import Limits

    counts = Counter[str]()

    def count(method: str, path: str, before: int) -> Spoiled | None:
        counts[f"{method} {path}"] += 1
        return None

    await approve_many(database)
    options = quick_options(limits=Limits(price_per_million=1e6, most_per_run=1.0))
    with faulty_proxy(modelserver_url, count) as url:
        async with open_shop(database, tmp_path, url, options) as shop:
            await request_run(
                database, trigger="command", requested_by="ada", base_model=BASE_MODEL
            )
            run = await shop.run_to_the_end()
    assert run.state is RunState.skipped
    assert "NOD_RUN_BUDGET=1" in (run.error or "")
    assert counts["POST /files"] == 0
