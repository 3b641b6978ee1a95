"""One tiny base model for all training tests of a process: making it takes seconds."""

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs the local extra: make install")

import torch

from modelserver.bases import Base, resolve_base
from modelserver.training.__main__ import main
from tests.modelserver.tiny_gguf import write_tiny_gguf
from tests.modelserver.training.job import told, write_job

torch.set_num_threads(1)  # threads that wait for each other on a busy machine can take minutes


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("modelserver")
    write_tiny_gguf(folder / "tiny.gguf")
    return folder


@pytest.fixture(scope="session")
def base(data_dir: Path) -> Base:
    base = resolve_base(str(data_dir / "tiny.gguf"), data_dir)
    base.prepare_training_dir()
    return base


@pytest.fixture(scope="session")
def adapter_dir(base: Base, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that has learnt its answers by heart."""
    folder = tmp_path_factory.mktemp("job")
    job = write_job(folder / "a", data_dir, n_epochs=40, batch_size=4, learning_rate_multiplier=10)
    assert main(job) == 0
    return Path(told(job, "done")[0]["path"])
