"""A batch too large for memory is computed in parts, and learns the same."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelserver.training import batches, objective
from modelserver.training.batches import Batch
from modelserver.training.step import take_step


def batch_of(rows: int, longest: int) -> Batch:
    ids = torch.arange(rows * longest).reshape(rows, longest)
    return Batch(ids, torch.ones_like(ids, dtype=torch.bool), ids % 3 == 0)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 9000), st.sampled_from([1, 2]))
def test_parts_are_the_batch_in_order_and_bounded(rows: int, longest: int, together: int) -> None:
    rows *= together
    parts = list(batch_of(rows, longest).parts(together))
    assert torch.cat([part.ids for part in parts]).equal(batch_of(rows, longest).ids)
    for part in parts:
        assert len(part.ids) % together == 0
        assert part.ids.numel() <= max(batches.PART_PLACES, together * longest)


@pytest.mark.parametrize("places", [1, 30, 10_000])
def test_a_step_is_the_same_in_parts(places: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(model: torch.nn.Linear, batch: Batch) -> objective.Measured:
        error = (model(batch.ids[..., None].float() / 100) - 1).square()[..., 0]
        return objective.Measured(error[batch.is_trained].sum(), 0, int(batch.is_trained.sum()))

    monkeypatch.setattr(batches, "PART_PLACES", places)
    torch.manual_seed(0)
    model = torch.nn.Linear(1, 1)
    course = SimpleNamespace(sequences=1, measure=measure)
    whole = measure(model, batch_of(8, 10))
    (whole.loss / whole.count).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    expected = [p.detach() - 0.1 * p.grad for p in model.parameters()]
    model.zero_grad()
    taken = take_step(course, model, torch.optim.SGD(model.parameters()), batch_of(8, 10), 0.1)
    assert taken.count == whole.count
    for parameter, wanted in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.detach(), wanted)
