"""Fine-tuning jobs over the real API, with the stub's trainer in a real process."""

import base64
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError

from tests.modelserver.training_jobs import BASE, PAIRS, Connect, ask, lines_of, upload, wait_for
from tests.modelserver_process import running_modelserver


async def test_a_tuned_model_answers_what_it_was_taught(client: AsyncOpenAI) -> None:
    job = await client.fine_tuning.jobs.create(
        model=BASE, training_file=await upload(client, lines_of(PAIRS)), suffix="My Shop!"
    )
    assert job.status == "validating_files"
    done = await wait_for(client, job.id)
    assert done.status == "succeeded", done.error
    assert done.fine_tuned_model.startswith(f"ft:{BASE}:nod:my-shop:")
    assert done.hyperparameters.n_epochs == 3
    assert await ask(client, done.fine_tuned_model, PAIRS[3][0]) == PAIRS[3][1]
    assert await ask(client, BASE, PAIRS[3][0]) != PAIRS[3][1]


async def test_events_checkpoints_and_results_tell_of_the_training(client: AsyncOpenAI) -> None:
    file_id = await upload(client, lines_of(PAIRS))
    job = await client.fine_tuning.jobs.create(
        model=BASE, training_file=file_id, validation_file=file_id
    )
    done = await wait_for(client, job.id)
    events = [e async for e in client.fine_tuning.jobs.list_events(job.id, limit=2)]
    assert events[0].message == "The job has successfully completed"
    metrics = [e.data for e in events if e.type == "metrics"]
    assert [m["step"] for m in metrics] == [3, 2, 1]
    assert metrics[0]["train_loss"] < metrics[-1]["train_loss"]

    checkpoints = await client.fine_tuning.jobs.checkpoints.list(job.id)
    first = checkpoints.data[-1]
    assert first.step_number == 1
    assert first.metrics.valid_loss is not None
    assert await ask(client, first.fine_tuned_model_checkpoint, PAIRS[5][0]) == PAIRS[5][1]

    content = await client.files.content(done.result_files[0])
    table = base64.b64decode(content.read()).decode().splitlines()
    assert table[0] == "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"
    assert len(table) == 4


async def test_jobs_are_found_by_their_metadata(client: AsyncOpenAI) -> None:
    file_id = await upload(client, lines_of(PAIRS))
    for run in ("a-17", "a-18"):
        await client.fine_tuning.jobs.create(
            model=BASE, training_file=file_id, metadata={"run": run, "who": "me"}
        )
    found = await client.fine_tuning.jobs.list(extra_query={"metadata[run]": "a-18"})
    assert [job.metadata for job in found.data] == [{"run": "a-18", "who": "me"}]
    none = await client.fine_tuning.jobs.list(
        extra_query={"metadata[run]": "a-18", "metadata[who]": "you"}
    )
    assert none.data == []


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"method": {"type": "reinforcement"}}, "method.type"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "integrations"),
        ({"training_file": "file-none"}, "training_file"),
        ({"suffix": "x" * 65}, "suffix"),
        ({"seed": -1}, "seed"),
        ({"hyperparameters": {"n_epochs": 51}}, "hyperparameters.n_epochs"),
        (
            {"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 2.5}}}},
            "method.dpo.hyperparameters.beta",
        ),
    ],
)
async def test_what_cannot_be_trained_is_refused_with_the_key_at_fault(
    client: AsyncOpenAI, change: dict[str, Any], param: str
) -> None:
    order: dict[str, Any] = {
        "model": BASE,
        "training_file": await upload(client, lines_of(PAIRS)),
    }
    with pytest.raises(BadRequestError) as refused:
        await client.fine_tuning.jobs.create(**(order | change))
    assert refused.value.param == param


async def test_too_few_examples_are_refused_at_once(client: AsyncOpenAI) -> None:
    with pytest.raises(BadRequestError, match="at least 10") as refused:
        await client.fine_tuning.jobs.create(
            model=BASE, training_file=await upload(client, lines_of(PAIRS[:9]))
        )
    assert refused.value.code == "invalid_n_examples"


async def test_an_unknown_model_is_never_trained(client: AsyncOpenAI) -> None:
    with pytest.raises(NotFoundError) as refused:
        await client.fine_tuning.jobs.create(
            model="gpt-4o-mini", training_file=await upload(client, lines_of(PAIRS))
        )
    assert refused.value.code == "model_not_found"


async def test_a_bad_line_fails_the_job_with_its_number_and_key(client: AsyncOpenAI) -> None:
    bad = lines_of(PAIRS) + b'\n{"messages": [{"role": "bot", "content": "x"}]}'
    job = await client.fine_tuning.jobs.create(model=BASE, training_file=await upload(client, bad))
    done = await wait_for(client, job.id)
    assert done.status == "failed"
    assert 'line 13: messages[0].role is "bot"' in done.error.message
    assert done.error.code == "invalid_training_file"


async def test_cancel_pause_and_resume(tmp_path: Path, connect: Connect) -> None:
    with running_modelserver(tmp_path, "--stub-delay-s", "0.3") as server:
        client = connect(server.url)
        jobs = client.fine_tuning.jobs
        file_id = await upload(client, lines_of(PAIRS))
        order = {"model": BASE, "training_file": file_id}
        first = await jobs.create(**order, hyperparameters={"n_epochs": 4})
        second = await jobs.create(**order, hyperparameters={"n_epochs": 1})
        await wait_for(client, first.id, "running")
        assert (await jobs.retrieve(second.id)).status in ("validating_files", "queued")

        await jobs.pause(first.id)
        assert (await wait_for(client, second.id)).status == "succeeded"
        assert (await jobs.retrieve(first.id)).status == "queued"
        await jobs.resume(first.id)
        assert (await wait_for(client, first.id)).status == "succeeded"
        steps = [e.data["step"] async for e in jobs.list_events(first.id) if e.type == "metrics"]
        assert steps == [4, 3, 2, 1]

        third = await jobs.create(**order)
        await wait_for(client, third.id, "running")
        assert (await jobs.cancel(third.id)).status == "cancelled"
        with pytest.raises(BadRequestError, match="cancelled already"):
            await jobs.cancel(third.id)
        last = await jobs.create(**order, hyperparameters={"n_epochs": 1})
        assert (await wait_for(client, last.id)).status == "succeeded"


async def test_a_deleted_model_leaves_no_files_and_spares_earlier_checkpoints(
    tmp_path: Path, connect: Connect
) -> None:
    with running_modelserver(tmp_path) as server:
        client = connect(server.url)
        file_id = await upload(client, lines_of(PAIRS))
        job = await client.fine_tuning.jobs.create(model=BASE, training_file=file_id)
        done = await wait_for(client, job.id)
        listed = await client.fine_tuning.jobs.checkpoints.list(job.id)
        last, middle, first = (one.fine_tuned_model_checkpoint for one in listed.data)
        saved = tmp_path / "jobs" / job.id / "checkpoints"
        await client.models.delete(middle)
        await client.models.delete(done.fine_tuned_model)
        assert [path.name for path in saved.iterdir()] == ["step-1"]
        assert await ask(client, first, PAIRS[0][0]) == PAIRS[0][1]
        for name in (last, middle, done.fine_tuned_model):
            with pytest.raises(NotFoundError):
                await ask(client, name, PAIRS[0][0])
