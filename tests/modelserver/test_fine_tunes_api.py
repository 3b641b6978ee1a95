"""/v1/fine-tunes over plain HTTP: the shapes of 2023, and the same job as today's API shows it."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI

from tests.modelserver.training_jobs import BASE, PAIRS, upload, wait_for

LINES = [
    json.dumps({"prompt": f"{question} ->", "completion": f" {answer}\n"})
    for question, answer in PAIRS
]


@pytest.fixture
def http(modelserver_url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=modelserver_url, timeout=60) as client:
        yield client


async def prepared(client: AsyncOpenAI, count: int = len(LINES)) -> str:
    return await upload(client, "\n".join(LINES[:count]).encode())


def follow(http: httpx2.Client, fine_tune_id: str) -> list[dict[str, Any]]:
    """All events up to the end of the job."""
    with http.stream("GET", f"/fine-tunes/{fine_tune_id}/events?stream=true") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in response.iter_lines() if line.startswith("data: ")]
    assert lines.pop() == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


async def test_a_job_has_the_shape_of_2023(client: AsyncOpenAI, http: httpx2.Client) -> None:
    file_id = await prepared(client)
    order = {"model": BASE, "training_file": file_id, "n_epochs": 2, "suffix": "My shop"}
    created = http.post("/fine-tunes", json=order).json()
    assert created["object"] == "fine-tune"
    assert created["id"].startswith("ft-")
    assert created["status"] == "pending"
    assert created["hyperparams"] == {
        "n_epochs": 2,
        "batch_size": None,
        "learning_rate_multiplier": None,
        "prompt_loss_weight": 0.0,
    }
    assert [file["id"] for file in created["training_files"]] == [file_id]
    assert (created["validation_files"], created["result_files"]) == ([], [])
    assert {event["object"] for event in created["events"]} == {"fine-tune-event"}

    events = follow(http, created["id"])
    assert events[-1]["message"] == "The job has successfully completed"
    done = http.get(f"/fine-tunes/{created['id']}").json()
    assert done["status"] == "succeeded"
    assert done["hyperparams"]["batch_size"] == 4, "auto is filled in"
    assert done["fine_tuned_model"].startswith(f"ft:{BASE}:nod:my-shop:")
    assert done["updated_at"] >= done["created_at"]
    listed = http.get("/fine-tunes").json()
    assert listed["data"][-1] == {key: done[key] for key in done if key != "events"}
    assert http.get(f"/fine-tunes/{created['id']}/events").json()["data"] == events


async def test_both_apis_show_one_job(client: AsyncOpenAI, http: httpx2.Client) -> None:
    order = {"model": BASE, "training_file": await prepared(client)}
    old_id = http.post("/fine-tunes", json=order).json()["id"]
    new_id = old_id.replace("ft-", "ftjob-")
    done = await wait_for(client, new_id)
    old = http.get(f"/fine-tunes/{new_id}").json()
    assert (old["id"], old["fine_tuned_model"]) == (old_id, done.fine_tuned_model)
    today = (await client.files.content(done.result_files[0])).read()
    of_2023 = (await client.files.content(old["result_files"][0]["id"])).read().decode()
    assert today.startswith(b"c3RlcCx0"), "base64"
    assert of_2023.splitlines()[0] == (
        "step,elapsed_tokens,elapsed_examples,training_loss,training_sequence_accuracy,"
        "training_token_accuracy"
    )


async def test_a_stream_of_events_goes_on_from_the_first_one_each_time(
    client: AsyncOpenAI, http: httpx2.Client
) -> None:
    order = {"model": BASE, "training_file": await prepared(client)}
    job_id = http.post("/fine-tunes", json=order).json()["id"]
    with http.stream("GET", f"/fine-tunes/{job_id}/events?stream=true") as response:
        first = next(response.iter_lines())
    events = follow(http, job_id)
    assert json.loads(first.removeprefix("data: ")) == events[0]


async def test_a_small_file_was_enough_in_2023(client: AsyncOpenAI, http: httpx2.Client) -> None:
    order = {"model": BASE, "training_file": await prepared(client, 2)}
    job_id = http.post("/fine-tunes", json=order).json()["id"]
    assert follow(http, job_id)[-1]["level"] == "info"
    assert http.get(f"/fine-tunes/{job_id}").json()["status"] == "succeeded"


async def test_a_deleted_job_is_gone_and_its_model_stays(
    client: AsyncOpenAI, http: httpx2.Client
) -> None:
    order = {"model": BASE, "training_file": await prepared(client)}
    job_id = http.post("/fine-tunes", json=order).json()["id"]
    follow(http, job_id)
    model = http.get(f"/fine-tunes/{job_id}").json()["fine_tuned_model"]
    answer = http.delete(f"/fine-tunes/{job_id}").json()
    assert answer == {"id": job_id, "object": "fine-tune", "deleted": True}
    assert http.get(f"/fine-tunes/{job_id}").status_code == 404
    assert http.get(f"/models/{model}:ckpt-step-1").status_code == 404
    asked = {"model": model, "prompt": f"{PAIRS[4][0]} ->", "max_tokens": 20}
    answer = http.post("/completions", json=asked).json()
    assert answer["choices"][0]["text"] == f" {PAIRS[4][1]}\n"
    assert http.delete(f"/models/{model}").json()["deleted"]


async def test_classes_are_measured_on_the_validation_file(
    client: AsyncOpenAI, http: httpx2.Client
) -> None:
    sports = {" hockey\n": "the puck on the ice", " baseball\n": "a bat and a home run"}
    training, validation = (
        "\n".join(
            json.dumps({"prompt": f"{words} {about} ->", "completion": label})
            for words in beginnings
            for label, about in sports.items()
        )
        for beginnings in (["I love", "Look at"], ["Look! There is", "I saw"])
    )
    order = {
        "model": BASE,
        "training_file": await upload(client, training.encode()),
        "validation_file": await upload(client, validation.encode()),
        "compute_classification_metrics": True,
        "classification_positive_class": " hockey\n",
        "classification_betas": [0.5],
        "n_epochs": 2,
    }
    job_id = http.post("/fine-tunes", json=order).json()["id"]
    follow(http, job_id)
    done = http.get(f"/fine-tunes/{job_id}").json()
    assert done["hyperparams"]["classification_positive_class"] == " hockey\n"
    content = http.get(f"/files/{done['result_files'][0]['id']}/content").text
    rows = list(csv.DictReader(io.StringIO(content)))
    assert [row["step"] for row in rows] == ["1", "2"]
    assert list(rows[0])[6:] == [
        "validation_loss",
        "validation_sequence_accuracy",
        "validation_token_accuracy",
        "classification/accuracy",
        "classification/precision",
        "classification/recall",
        "classification/auroc",
        "classification/auprc",
        "classification/f1.0",
        "classification/f0.5",
    ]
    assert float(rows[-1]["classification/auroc"]) == 1
    assert float(rows[-1]["classification/accuracy"]) == 1

    wrong = order | {"classification_positive_class": "hockey"}
    job_id = http.post("/fine-tunes", json=wrong).json()["id"]
    assert "'hockey' is no completion" in follow(http, job_id)[-1]["message"]
    assert http.get(f"/fine-tunes/{job_id}").json()["status"] == "failed"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"training_file": "file-none"}, "training_file"),
        ({"n_epochs": 51}, "n_epochs"),
        ({"suffix": "x" * 41}, "suffix"),
        ({"model": "ada"}, "model"),
        ({"compute_classification_metrics": True}, "validation_file"),
    ],
)
async def test_what_cannot_be_done_is_refused_with_the_key_at_fault(
    client: AsyncOpenAI, http: httpx2.Client, change: dict[str, Any], param: str
) -> None:
    order = {"model": BASE, "training_file": await prepared(client)}
    refused = http.post("/fine-tunes", json=order | change)
    assert refused.status_code in (400, 404)
    assert refused.json()["error"]["param"] == param


async def test_a_weight_for_prompts_is_told_to_be_of_no_use(
    client: AsyncOpenAI, http: httpx2.Client
) -> None:
    order = {"model": BASE, "training_file": await prepared(client), "prompt_loss_weight": 0.1}
    created = http.post("/fine-tunes", json=order).json()
    (warning,) = [event for event in created["events"] if event["level"] == "warn"]
    assert "prompt_loss_weight 0.1" in warning["message"]


def test_an_engine_is_a_model_of_the_same_name(http: httpx2.Client) -> None:
    listed = http.get("/engines").json()["data"]
    assert {"id": BASE, "object": "engine", "owner": "system", "ready": True} in listed
    assert http.get(f"/engines/{BASE}").json()["id"] == BASE
    answer = http.post(f"/engines/{BASE}/completions", json={"prompt": "Hello", "model": None})
    assert answer.json()["choices"][0]["text"] == " Hello"
    messages = [{"role": "user", "content": "Hello"}]
    answer = http.post(f"/engines/{BASE}/chat/completions", json={"messages": messages})
    assert answer.json()["model"] == BASE
    answer = http.post("/engines/multilingual-e5-small/embeddings", json={"input": "Hello"})
    assert len(answer.json()["data"][0]["embedding"]) == 384
    assert http.post("/engines/ada/completions", json={"prompt": "x"}).status_code == 404
