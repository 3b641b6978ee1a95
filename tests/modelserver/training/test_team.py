"""Several processes train what one would."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from modelserver.bases import Base
from modelserver.trainer import _command
from modelserver.training.__main__ import main
from tests.modelserver.training.job import told, write_job


def test_two_processes_learn_what_one_learns(base: Base, data_dir: Path, tmp_path: Path) -> None:
    """Batches of 5 and a last one of 2; the second process has the smaller share."""
    one, two = (
        write_job(
            tmp_path / name,
            data_dir,
            n_epochs=2,
            batch_size=5,
            validates=True,
            options={"precision": "float32"},
        )
        for name in ("one", "two")
    )
    assert main(one) == 0
    command = _command(two, "modelserver.training", 2)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Loading weights:   0%") == 2, "it was not two processes"
    for mine, other in zip(told(one, "metrics"), told(two, "metrics"), strict=True):
        assert other.keys() == mine.keys()
        for key in mine.keys() - {"type", "tokens_per_s"}:
            assert other[key] == pytest.approx(mine[key], rel=1e-4), key
    (alone,), (together,) = told(one, "done"), told(two, "done")
    assert alone["trained_tokens"] == together["trained_tokens"]
    expected, got = (
        load_file(Path(end["path"]) / "adapter_model.safetensors") for end in (alone, together)
    )
    for name, weight in expected.items():
        np.testing.assert_allclose(got[name], weight, rtol=1e-2, atol=1e-4)
