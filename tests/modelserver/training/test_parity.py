"""A job succeeds only if the server writes what the trainer would."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelserver.bases import Base
from modelserver.catalog import Model
from modelserver.parity import explain, find_faults, regret_at_divergence
from modelserver.training.probe import PROBES
from tests.modelserver.training.job import FACTS, chat_line
from tests.modelserver.training_jobs import Connect, upload, wait_for
from tests.modelserver_process import running_modelserver

pytest.importorskip("xllamacpp", reason="serving needs the local extra")


def step(token: int, *, end: float = -9.0, shown: bool = True, **near: float) -> dict[str, Any]:
    told = {str(token): -0.1} | {name.removeprefix("t"): value for name, value in near.items()}
    return {"token": token, "near": told, "end": end, "is_shown": shown, "is_end": token == 0}


@pytest.mark.parametrize(
    ("steps", "heard", "is_ended", "regret"),
    [
        ([step(5), step(6)], [5, 6], False, 0.0),
        ([step(5), step(6, t7=-0.3)], [5, 7], False, 0.2),
        ([step(5), step(6, t7=-5.1)], [5, 7], False, 5.0),
        ([step(5), step(6)], [5, 9], False, math.inf),
        ([step(5, t8=-0.4), step(6)], [8, 9], False, 0.3),  # what follows a tie is not compared
        ([step(5), step(0)], [5], True, 0.0),
        ([step(5), step(0, t7=-2.1)], [5, 7], False, 2.0),
        ([step(5), step(6, end=-3.1)], [5], True, 3.0),
        ([step(5, shown=False), step(6)], [6], False, 0.0),  # half a letter, then the other half
        ([step(5, shown=False, t8=-0.2), step(6)], [9], False, 0.1),  # it may have parted earlier
    ],
)
def test_only_the_first_parting_counts_and_by_how_much(
    steps: list[dict[str, Any]], heard: list[int], is_ended: bool, regret: float
) -> None:
    got = regret_at_divergence(steps, heard, is_ended=is_ended)
    assert got == pytest.approx(regret)


@pytest.fixture(scope="module")
def engine(base: Base, data_dir: Path) -> Iterator[Any]:
    from modelserver.engine.llama import LlamaEngine

    engine = LlamaEngine([str(base.gguf_path)], data_dir, slots=1, context=256)
    yield engine
    engine.close()


def test_the_server_passes_with_the_adapter_and_fails_without_it(
    engine: Any, adapter_dir: Path
) -> None:
    job = adapter_dir.parents[1]
    assert len(json.loads((job / "probes.json").read_text())) == PROBES
    assert not find_faults(engine, Model(name="m", base="tiny", adapter=adapter_dir), job)
    faults = find_faults(engine, Model(name="m", base="tiny"), job)
    assert faults
    assert "less likely" in explain(faults)


async def test_a_job_whose_prompts_are_served_otherwise_fails_with_the_reason(
    base: Base, tmp_path: Path, connect: Connect
) -> None:
    """The two sides drift apart: training gets a chat template of its own."""
    from modelserver.bases import resolve_base

    source = tmp_path / "tiny.gguf"
    source.write_bytes(base.gguf_path.read_bytes())
    trained = resolve_base(str(source), tmp_path / "data").prepare_training_dir()
    template = trained / "chat_template.jinja"
    template.write_text("Be good. " + template.read_text())
    lines = "".join(json.dumps(chat_line(*fact)) + "\n" for fact in FACTS)
    with running_modelserver(tmp_path / "data", "--base", str(source), engine="llama") as server:
        client = connect(server.url)
        job = await client.fine_tuning.jobs.create(
            model="tiny",
            training_file=await upload(client, lines.encode()),
            hyperparameters={"n_epochs": 1},
        )
        job = await wait_for(client, job.id)
    assert job.error is not None
    assert (job.status, job.error.code) == ("failed", "serve_parity")
    assert "chat template" in job.error.message
    assert job.fine_tuned_model is None
