"""Processes that are killed: nothing is lost, nothing is trained twice."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.modelserver.training_jobs import (
    BASE,
    PAIRS,
    Connect,
    ask,
    has_checkpoint,
    lines_of,
    until,
    upload,
    wait_for,
)
from tests.modelserver_process import running_modelserver, start_modelserver

SLOW = ("--stub-delay-s", "0.3")


def steps_told(data_dir: Path, job_id: str) -> list[int]:
    """Steps that trainers of this job did, in all their lives."""
    path = data_dir / "jobs" / job_id / "progress.jsonl"
    told = [json.loads(line) for line in path.read_text().splitlines()]
    return [one["step"] for one in told if one["type"] == "metrics"]


def trainer_pid(data_dir: Path, job_id: str) -> int:
    return int((data_dir / "jobs" / job_id / "trainer.pid").read_text())


@pytest.mark.parametrize("trainer_dies_too", [False, True])
async def test_a_killed_server_goes_on_with_its_jobs(
    tmp_path: Path, connect: Connect, trainer_dies_too: bool
) -> None:
    server = start_modelserver(tmp_path, *SLOW)
    client = connect(server.url)
    file_id = await upload(client, lines_of(PAIRS))
    first = await client.fine_tuning.jobs.create(
        model=BASE, training_file=file_id, hyperparameters={"n_epochs": 5}
    )
    second = await client.fine_tuning.jobs.create(
        model=BASE, training_file=file_id, hyperparameters={"n_epochs": 1}
    )
    await until(lambda: has_checkpoint(client, first.id))
    server.kill()
    if trainer_dies_too:
        os.kill(trainer_pid(tmp_path, first.id), signal.SIGKILL)

    with running_modelserver(tmp_path, *SLOW) as again:
        client = connect(again.url)
        done = await wait_for(client, first.id)
        assert done.status == "succeeded", done.error
        assert (await wait_for(client, second.id)).status == "succeeded"
        assert steps_told(tmp_path, first.id) == [1, 2, 3, 4, 5]  # each step once
        assert await ask(client, done.fine_tuned_model, PAIRS[0][0]) == PAIRS[0][1]
        models = [model.id async for model in client.models.list()]
        assert models.count(done.fine_tuned_model) == 1
        checkpoints = await client.fine_tuning.jobs.checkpoints.list(first.id)
        assert [c.step_number for c in checkpoints.data] == [5, 4, 3, 2, 1]


async def test_a_server_that_is_told_to_stop_leaves_its_job_for_the_next(
    tmp_path: Path, connect: Connect
) -> None:
    with running_modelserver(tmp_path, *SLOW) as server:
        client = connect(server.url)
        job = await client.fine_tuning.jobs.create(
            model=BASE, training_file=await upload(client, lines_of(PAIRS))
        )
        await wait_for(client, job.id, "running")
    with running_modelserver(tmp_path) as server:
        client = connect(server.url)
        assert (await wait_for(client, job.id)).status == "succeeded"
        assert steps_told(tmp_path, job.id) == [1, 2, 3]


async def test_a_killed_trainer_fails_its_job_and_no_other(
    tmp_path: Path, connect: Connect
) -> None:
    with running_modelserver(tmp_path, *SLOW) as server:
        client = connect(server.url)
        order = {"model": BASE, "training_file": await upload(client, lines_of(PAIRS))}
        job = await client.fine_tuning.jobs.create(**order)
        await wait_for(client, job.id, "running")
        await until(lambda: has_checkpoint(client, job.id))
        os.kill(trainer_pid(tmp_path, job.id), signal.SIGKILL)
        failed = await wait_for(client, job.id)
        assert failed.status == "failed"
        assert "memory ran out" in failed.error.message
        assert failed.fine_tuned_model is None
        after = await client.fine_tuning.jobs.create(**order)
        assert (await wait_for(client, after.id)).status == "succeeded"


async def test_a_torn_line_of_progress_is_passed_over(tmp_path: Path, connect: Connect) -> None:
    server = start_modelserver(tmp_path, *SLOW)
    client = connect(server.url)
    job = await client.fine_tuning.jobs.create(
        model=BASE, training_file=await upload(client, lines_of(PAIRS))
    )
    await until(lambda: has_checkpoint(client, job.id))
    server.kill()
    os.kill(trainer_pid(tmp_path, job.id), signal.SIGKILL)
    with (tmp_path / "jobs" / job.id / "progress.jsonl").open("a") as progress:
        progress.write('{"type": "metr')
    with running_modelserver(tmp_path) as again:
        client = connect(again.url)
        assert (await wait_for(client, job.id)).status == "succeeded"


async def test_half_an_upload_is_swept_away_at_the_start(tmp_path: Path, connect: Connect) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "file-abc.part").write_bytes(b"half")
    with running_modelserver(tmp_path) as server:
        client = connect(server.url)
        kept = await upload(client, b"whole")
    with running_modelserver(tmp_path):
        assert [path.name for path in (tmp_path / "files").iterdir()] == [kept]
