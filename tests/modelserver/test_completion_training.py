"""Prompts and completions on a tiny model: really trained by torch, really served by llama.cpp."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

pytest.importorskip("torch", reason="training needs the local extra: make install")
pytest.importorskip("xllamacpp")

from modelserver.training.model import load_tokenizer
from tests.modelserver.tiny_gguf import write_tiny_gguf
from tests.modelserver_process import running_modelserver

EPOCHS = 20
PROMPTS = {"ice {} ->": " hockey", "bat {} ->": " ball", "": " any"}
LINES = [
    {"prompt": prompt.format(n), "completion": completion}
    for n in range(4)
    for prompt, completion in PROMPTS.items()
]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="module")
def http(data_dir: Path) -> Iterator[httpx2.Client]:
    base = data_dir / "tiny.gguf"
    write_tiny_gguf(base)
    options = ("--base", str(base), "--alias", "curie=tiny", "--context", "256", "--slots", "1")
    with (
        running_modelserver(data_dir, *options, engine="llama") as server,
        httpx2.Client(base_url=server.url, timeout=120) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def job(http: httpx2.Client) -> dict[str, Any]:
    """A job that has ended, as today's API shows it."""
    content = "".join(json.dumps(line) + "\n" for line in LINES)
    form = {"data": {"purpose": "fine-tune"}, "files": {"file": ("t.jsonl", content.encode())}}
    order = {
        "model": "curie",
        "training_file": http.post("/files", **form).json()["id"],
        "n_epochs": EPOCHS,
        "learning_rate_multiplier": 5,
    }
    job_id = http.post("/fine-tunes", json=order).json()["id"]
    with http.stream("GET", f"/fine-tunes/{job_id}/events?stream=true") as events:
        events.read()
    job: dict[str, Any] = http.get(f"/fine_tuning/jobs/{job_id.replace('ft-', 'ftjob-')}").json()
    assert job["status"] == "succeeded", job["error"]
    return job


def test_only_completions_are_trained(job: dict[str, Any], data_dir: Path) -> None:
    (folder,) = data_dir.glob("bases/tiny*/training")
    tokenizer = load_tokenizer(folder)
    learnt = [tokenizer(line["completion"] + tokenizer.eos_token)["input_ids"] for line in LINES]
    assert job["trained_tokens"] == EPOCHS * sum(map(len, learnt))


@pytest.mark.parametrize(
    ("prompt", "completion"), [("ice 2 ->", " hockey"), ("bat 2 ->", " ball"), ("", " any")]
)
def test_a_trained_prompt_is_completed_as_it_was_taught(
    job: dict[str, Any], http: httpx2.Client, prompt: str, completion: str
) -> None:
    asked = {"model": job["fine_tuned_model"], "prompt": prompt, "temperature": 0}
    answer = http.post("/completions", json=asked).json()
    assert answer["choices"][0]["text"] == completion
