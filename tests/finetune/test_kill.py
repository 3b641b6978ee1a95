"""A run whose process is killed in every state, again and again, and that goes on each time."""

import asyncio
import sys
from pathlib import Path

from sqlalchemy import func, select

from finetune.run import request_run
from store import Database, Dataset, EvaluationItem, ModelVersion, Run, RunEvent, RunState, Stage
from store.migrate import migrate
from tests.finetune.faulty_proxy import Spoiled, faulty_proxy
from tests.finetune.shop import BASE_MODEL, Shop, approve_many, open_shop, quick_options
from tests.finetune.test_retrain import provider_files, provider_jobs
from tests.modelserver_process import ROOT


async def test_a_run_killed_in_every_state_beside_a_provider_that_fails_does_nothing_twice(
    tmp_path: Path, modelserver_url: str
) -> None:
    """Every call fails the first time; creations do their work, and their answers are lost."""
    uploads: list[str] = []

    def fail_first(method: str, path: str, before: int) -> Spoiled | None:
        creates = method == "POST" and path in ("/files", "/fine_tuning/jobs")
        if creates:
            uploads.extend([path])
        if before > 0 or path in ("/embeddings", "/chat/completions"):
            return None
        return Spoiled(is_lost=True) if creates else Spoiled(500, headers={"retry-after": "0"})

    with faulty_proxy(modelserver_url, fail_first) as url:
        await kill_everywhere(tmp_path, url)
    assert uploads.count("/files") == 2
    assert uploads.count("/fine_tuning/jobs") == 1


async def kill_everywhere(tmp_path: Path, modelserver_url: str) -> None:
    database_url = f"sqlite+aiosqlite:///{tmp_path / 'nod.db'}"
    await migrate(database_url)
    database = Database(database_url)
    await approve_many(database)
    async with open_shop(database, tmp_path, modelserver_url) as shop:
        await shop.knowledge.sync()
    await request_run(database, trigger="command", requested_by="ada", base_model=BASE_MODEL)

    killed = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.finetune.killed_retrainer"),
        *(database_url, str(tmp_path), modelserver_url),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await killed.communicate()
    assert killed.returncode == 0, output.decode()[-3000:]

    options = quick_options(lease_s=0.6)
    async with open_shop(database, tmp_path, modelserver_url, options) as shop:
        async with database.read() as session:
            run = (await session.scalars(select(Run))).one()
        await shop.clean_up()
        assert run.state is RunState.promoted, run.error
        await check_that_nothing_was_done_twice(database, shop, run)
    await database.close()


async def check_that_nothing_was_done_twice(database: Database, shop: Shop, run: Run) -> None:
    async with database.read() as session:
        dataset = (await session.scalars(select(Dataset))).one()
        version = (await session.scalars(select(ModelVersion))).one()
        items = await session.scalar(select(func.count()).select_from(EvaluationItem))
        events = (await session.scalars(select(RunEvent.message))).all()
    assert version.stage is Stage.live
    assert items == 8 * 7 + 10 * 3  # questions by arm and mode, and what is off topic
    assert await provider_files(shop, dataset) == []
    assert len(await provider_jobs(shop, run)) == 1
    assert len([event for event in events if event.startswith("Froze")]) == 1
    assert len([event for event in events if event.startswith("Fitted")]) == 1
    losses = [event for event in events if event.startswith("Step")]
    assert len(losses) == len(set(losses)) == 3
