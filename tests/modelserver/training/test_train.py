"""A job is trained as ordered, tells what it does, and survives being stopped and killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from modelserver.bases import Base
from modelserver.training.__main__ import main
from tests.modelserver.training.job import (
    FACTS,
    chat_line,
    pair_line,
    told,
    write_job,
    write_lines,
)


@pytest.fixture
def start(base: Base):
    """Start the trainer as the server does."""
    running: list[subprocess.Popen[bytes]] = []

    def start(folder: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "modelserver.training", str(folder)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        running.append(subprocess.Popen(command, env=environment))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def wait_for(folder: Path, kind: str, count: int, process: subprocess.Popen[bytes]) -> None:
    while len(told(folder, kind)) < count:
        assert process.poll() is None, "the trainer ended too soon"
        time.sleep(0.02)


def weights(folder: Path) -> dict[str, np.ndarray]:
    (done,) = told(folder, "done")
    return load_file(Path(done["path"]) / "adapter_model.safetensors")


def test_a_job_learns_its_answers_and_tells_of_each_step(
    base: Base, data_dir: Path, tmp_path: Path
) -> None:
    job = write_job(tmp_path / "a", data_dir, n_epochs=4, batch_size=4, validates=True)
    assert main(job) == 0
    (started,) = told(job, "started")
    assert (started["n_epochs"], started["total_steps"]) == (4, 12)
    metrics = told(job, "metrics")
    assert [line["step"] for line in metrics] == list(range(1, 13))
    assert metrics[-1]["train_loss"] < metrics[0]["train_loss"] - 0.3
    assert metrics[-1]["valid_loss"] < metrics[2]["valid_loss"]
    assert [line["epoch"] for line in told(job, "checkpoint")] == [1, 2, 3, 4]
    (done,) = told(job, "done")
    assert {path.name for path in Path(done["path"]).iterdir()} >= {
        "adapter_config.json",
        "adapter_model.safetensors",
        "adapter.gguf",
    }


def test_preferences_move_the_model_towards_what_was_chosen(
    base: Base, data_dir: Path, tmp_path: Path
) -> None:
    lines = [pair_line(q, answer, answer[::-1]) for q, answer in FACTS]
    job = write_job(
        tmp_path / "a", data_dir, lines, method="dpo", n_epochs=3, learning_rate_multiplier=20
    )
    assert main(job) == 0
    losses = [line["train_loss"] for line in told(job, "metrics")]
    assert losses[0] == pytest.approx(np.log(2), rel=1e-3), "an untrained adapter prefers neither"
    assert losses[-1] < 0.6


def test_a_killed_job_goes_on_and_ends_with_the_same_weights(
    start, data_dir: Path, tmp_path: Path
) -> None:
    whole = write_job(tmp_path / "whole", data_dir, n_epochs=3, batch_size=2)
    assert start(whole).wait(timeout=120) == 0
    killed = write_job(tmp_path / "killed", data_dir, n_epochs=3, batch_size=2)
    process = start(killed)
    wait_for(killed, "checkpoint", 1, process)
    process.kill()
    process.wait()
    assert start(killed).wait(timeout=120) == 0
    expected, got = weights(whole), weights(killed)
    assert expected.keys() == got.keys()
    for name, weight in expected.items():
        np.testing.assert_allclose(got[name], weight, rtol=1e-4, atol=1e-6)


def test_a_stopped_job_saves_where_it_is(start, data_dir: Path, tmp_path: Path) -> None:
    job = write_job(tmp_path / "a", data_dir, n_epochs=50, batch_size=1)
    process = start(job)
    wait_for(job, "metrics", 3, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143
    last = told(job, "metrics")[-1]["step"]
    assert (job / "checkpoints" / f"step-{last}" / "optimizer.safetensors").exists()


def test_with_patience_it_stops_and_the_best_epoch_becomes_the_model(
    base: Base, data_dir: Path, tmp_path: Path
) -> None:
    """Validated on other answers than those it learns, it gets worse from some epoch on."""
    job = write_job(
        tmp_path / "a",
        data_dir,
        validates=True,
        options={"patience": 2},
        n_epochs=30,
        batch_size=4,
        learning_rate_multiplier=10,
    )
    order = json.loads((job / "job.json").read_text())
    others = [chat_line(question, answer[::-1]) for question, answer in FACTS]
    order["validation_file"] = str(write_lines(tmp_path / "valid.jsonl", others))
    (job / "job.json").write_text(json.dumps(order))
    assert main(job) == 0
    losses = [line["metrics"]["valid_loss"] for line in told(job, "checkpoint")]
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 < 30
    (done,) = told(job, "done")
    assert Path(done["path"]).name == f"step-{(best + 1) * 3}"
    assert f"step {(best + 1) * 3}" in told(job, "message")[-1]["message"]


def test_an_example_longer_than_the_context_is_left_out_and_named(
    base: Base, data_dir: Path, tmp_path: Path
) -> None:
    lines = [chat_line(*fact) for fact in FACTS]
    lines[2] = chat_line("q" * 600, "a")
    job = write_job(tmp_path / "a", data_dir, lines, n_epochs=1)
    assert main(job) == 0
    assert "line 3" in told(job, "message")[0]["message"]
    assert "512" in told(job, "message")[0]["message"]


def test_a_file_of_which_nothing_fits_is_an_error(
    base: Base, data_dir: Path, tmp_path: Path
) -> None:
    job = write_job(tmp_path / "a", data_dir, [chat_line("q" * 600, "a")] * 10)
    assert main(job) == 1
    (error,) = told(job, "error")
    assert error["param"] == "training_file"
    assert "512" in error["message"]


def test_a_loss_that_explodes_is_an_error_with_a_way_out(
    base: Base, data_dir: Path, tmp_path: Path
) -> None:
    job = write_job(tmp_path / "a", data_dir, n_epochs=50, learning_rate_multiplier=1e12)
    assert main(job) == 1
    assert told(job, "error")[0]["param"] == "learning_rate_multiplier"


def test_an_unknown_base_is_an_error(data_dir: Path, tmp_path: Path) -> None:
    job = write_job(tmp_path / "a", data_dir)
    order = (job / "job.json").read_text().replace("tiny.gguf", "absent.gguf")
    (job / "job.json").write_text(order)
    assert main(job) == 1
    assert told(job, "error")[0]["param"] == "model"
