"""Scripts and commands of 2023 run unchanged: the real client of that time, on a live server."""

import csv
import io
import json
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.modelserver.client_of_2023 import Client, find, install
from tests.modelserver.training_jobs import BASE, PAIRS, Connect, ask, lines_of
from tests.modelserver_process import running_modelserver

EMBEDDING = "multilingual-e5-small"
NAMES = {
    "gpt-3.5-turbo": BASE,
    "curie": BASE,
    "davinci": BASE,
    "babbage-002": BASE,
    "text-embedding-ada-002": EMBEDDING,
}
PROMPT, ANSWER = f"{PAIRS[3][0]} ->", f" {PAIRS[3][1]}"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    options = [f"--alias={name}={model}" for name, model in NAMES.items()]
    folder = tmp_path_factory.mktemp("modelserver")
    with running_modelserver(folder, "--stub-delay-s", "0.05", *options) as server:
        yield server.url


@pytest.fixture
def client(url: str, tmp_path: Path) -> Client:
    (tmp_path / "chat.jsonl").write_bytes(lines_of(PAIRS))
    lines = [{"prompt": f"{q} ->", "completion": f" {a}\n"} for q, a in PAIRS]
    (tmp_path / "prepared.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    return Client(install(), url, tmp_path)


def tuned_model(client: Client, fine_tune_id: str) -> str:
    job = httpx2.get(f"{client.url}/fine-tunes/{fine_tune_id}").json()
    name: str = job["fine_tuned_model"]
    return name


def test_the_script_that_tunes_a_chat_model_runs(client: Client) -> None:
    told = client.script("chat.py", "chat.jsonl", PAIRS[3][0]).splitlines()
    assert told[:2] == ["file processed True", "job succeeded True"]
    assert "event The job has successfully completed" in told
    assert told[-5:] == [
        f"answer {PAIRS[3][1]}",
        f"stream {PAIRS[3][1]}",
        "cancelled cancelled",
        "deleted True",
        "gone model_not_found",
    ]


def test_the_script_that_tunes_on_prompts_and_completions_runs(client: Client) -> None:
    size = (client.folder / "prepared.jsonl").stat().st_size
    told = client.script("completion.py", "prepared.jsonl", PROMPT).splitlines()
    assert told[0] == f"file mine {size}"
    last = "The job has successfully completed"
    assert [line for line in told if not line.startswith("event ")][1:] == [
        "job succeeded True",
        f"events {last}",
        f"answer {ANSWER} {len(ANSWER.split())}",
        f"stream {ANSWER}",
        f"engine {BASE}",
        "newer fine_tuning.job True",
        "cancelled cancelled",
        "vectors [384, 384]",
        "models True",
        "model model",
        "deleted True True",
    ]
    assert f"event {last}" in told


async def test_the_command_line_trains_a_model_that_both_clients_use(
    client: Client, connect: Connect
) -> None:
    told = client.api(
        "fine_tunes.create", "-t", "prepared.jsonl", "-m", "curie", "--suffix", "My shop",
        "--n_epochs", "2", "--batch_size", "3", "--learning_rate_multiplier", "0.2",
        "--no_check_if_files_exist",
    )  # fmt: skip
    assert "Job complete! Status: succeeded" in told
    model = find(r"completions\.create -m (\S+) -p <YOUR_PROMPT>", told)
    assert model.startswith(f"ft:{BASE}:nod:my-shop:")
    asked = ("-m", model, "-p", PROMPT, "-M", "20")
    assert client.api("completions.create", *asked) == f"{PROMPT}{ANSWER}\n"
    assert client.api("completions.create", *asked, "--logprobs", "2").startswith(PROMPT)
    assert client.api("completions.create", *asked, "--stream", "--stop", "euros").endswith("21 ")

    done = client.show("fine_tunes.get", "-i", find(r"Created fine-tune: (\S+)", told))
    assert done["hyperparams"] == {
        "n_epochs": 2,
        "batch_size": 3,
        "learning_rate_multiplier": 0.2,
        "prompt_loss_weight": 0.0,
    }
    today = connect(client.url)
    assert await ask(today, model, PROMPT) == f"{ANSWER}\n"
    assert (await today.models.delete(model)).deleted
    assert "does not exist" in client.api("models.delete", "-i", model, fails=True)


def test_a_follower_may_leave_and_come_back(client: Client) -> None:
    follower = client.start(
        "fine_tunes.create", "-t", "prepared.jsonl", "-m", "curie", "--n_epochs", "40",
        "--no_check_if_files_exist",
    )  # fmt: skip
    assert follower.stdout is not None
    while "Step 2/40" not in (line := follower.stdout.readline()):
        assert line, "the stream ended too soon"
    follower.send_signal(signal.SIGINT)
    rest = follower.stdout.read()
    assert follower.wait(timeout=60) == 0
    assert "Stream interrupted. Job is still running." in rest
    command = find(r"(openai api fine_tunes\.follow -i \S+)", rest)
    told = client.run(*shlex.split(command))
    steps = [f"Step {step}/40:" for step in range(1, 41)]
    assert [step for step in steps if step in told] == steps, "from the first event on"
    assert "Job complete! Status: succeeded" in told


def test_what_prepare_data_advises_is_trained_and_measured(client: Client) -> None:
    about = {"hockey": "puck, ice and goalie", "baseball": "pitcher, bat and home run"}
    lines = [
        {"prompt": f"Report {n} about the {words}", "completion": sport}
        for n in range(20)
        for sport, words in about.items()
    ]
    raw = client.folder / "sport.jsonl"
    raw.write_text("".join(json.dumps(line) + "\n" for line in lines))
    advice = client.run("openai", "tools", "fine_tunes.prepare_data", "-f", raw.name, "-q")
    command = shlex.split(find(r"> (openai api fine_tunes\.create .*)", advice))
    assert "--compute_classification_metrics" in command
    told = client.run(*command, "--classification_betas", "0.5", "2", "--n_epochs", "2")
    assert "Job complete! Status: succeeded" in told

    fine_tune_id = find(r"Created fine-tune: (\S+)", told)
    rows = list(csv.DictReader(io.StringIO(client.api("fine_tunes.results", "-i", fine_tune_id))))
    assert list(rows[0]) == [
        "step", "elapsed_tokens", "elapsed_examples",
        "training_loss", "training_sequence_accuracy", "training_token_accuracy",
        "validation_loss", "validation_sequence_accuracy", "validation_token_accuracy",
        "classification/accuracy", "classification/precision", "classification/recall",
        "classification/auroc", "classification/auprc",
        "classification/f1.0", "classification/f0.5", "classification/f2.0",
    ]  # fmt: skip
    assert len(rows) == 2
    assert float(rows[-1]["classification/accuracy"]) == 1
    model = tuned_model(client, fine_tune_id)
    prompt = "Report 9 about the puck, ice and goalie ->"
    assert client.api("completions.create", "-m", model, "-p", prompt) == f"{prompt} hockey"


async def test_jobs_are_listed_cancelled_and_deleted(client: Client, connect: Connect) -> None:
    file_id = client.api("files.create", "-f", "prepared.jsonl", "-p", "fine-tune")
    file_id = find(r'"id": "(file-\w+)"', file_id)
    assert file_id in [file["id"] for file in client.show("files.list")["data"]]
    created = client.show(
        "fine_tunes.create", "-t", file_id, "-v", file_id, "-m", "curie", "--n_epochs", "50",
        "--no_follow",
    )  # fmt: skip
    fine_tune_id = created["id"]
    await connect(client.url).fine_tuning.jobs.pause(fine_tune_id.replace("ft-", "ftjob-"))
    assert created["status"] == "pending"
    assert [file["id"] for file in created["validation_files"]] == [file_id]
    assert "No results file" in client.api("fine_tunes.results", "-i", fine_tune_id, fails=True)
    assert "cancel it first" in client.api("fine_tunes.delete", "-i", fine_tune_id, fails=True)
    assert client.show("fine_tunes.cancel", "-i", fine_tune_id)["status"] == "cancelled"
    last = client.show("fine_tunes.list")["data"][-1]
    assert (last["id"], last["status"]) == (fine_tune_id, "cancelled")
    assert (
        "cancelled" in client.show("fine_tunes.events", "-i", fine_tune_id)["data"][-1]["message"]
    )
    assert client.show("fine_tunes.delete", "-i", fine_tune_id)["deleted"]
    assert "No such fine-tune" in client.api("fine_tunes.get", "-i", fine_tune_id, fails=True)
    assert client.show("files.delete", "-i", file_id)["deleted"]


def test_the_later_commands_of_2023_work_too(client: Client) -> None:
    told = client.api(
        "fine_tuning.job.create", "-t", "chat.jsonl", "-m", "gpt-3.5-turbo", "--n_epochs", "1",
        "--no_check_if_files_exist",
    )  # fmt: skip
    job_id = find(r'"id": "(ftjob-\w+)"', told)
    assert client.show("fine_tuning.job.get", "-i", job_id)["object"] == "fine_tuning.job"
    assert job_id in client.api("fine_tuning.job.list")
    client.api("fine_tunes.follow", "-i", job_id)
    assert job_id in client.api("fine_tuning.job.events", "-i", job_id)
    assert client.api("fine_tuning.job.results", "-i", job_id).startswith("c3RlcCx0")
    model = tuned_model(client, job_id)
    message = ("-g", "user", PAIRS[5][0])
    assert client.api("chat_completions.create", "-m", model, *message) == PAIRS[5][1]
    assert client.show("models.get", "-i", model)["id"] == model
    assert {"curie", model} <= {one["id"] for one in client.show("models.list")["data"]}
    assert client.show("models.delete", "-i", model)["deleted"]
    assert "base model" in client.api("models.delete", "-i", "curie", fails=True)
