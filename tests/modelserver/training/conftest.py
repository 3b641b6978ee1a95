"""One tiny base model for all training tests of a process: making it takes seconds."""

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs the local extra: make install")

from modelserver.bases import Base, resolve_base
from tests.modelserver.tiny_gguf import write_tiny_gguf


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
