"""One optimizer step, and a look at the validation file."""

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch

from modelserver.training.corpus import Corpus
from modelserver.training.course import Course
from modelserver.training.objective import Measured
from modelserver.training.order import TrainingError
from modelserver.training.pack import Pack, make_packs
from modelserver.training.recipe import CLIP_NORM
from modelserver.training.team import Team

_VALIDATION_SEQUENCES = 200


def take_step(
    course: Course,
    model: Any,
    optimizer: torch.optim.Optimizer,
    packs: Iterable[Pack],
    rate: float,
    team: Team,
) -> Measured:
    """One optimizer step; the loss is the mean over trained tokens, however they are packed.

    Gradients of the sum are accumulated pack by pack, so that memory is a pack's whatever the size
    of the batch, added up over the team, and divided once the count is known.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate
    total = Measured(torch.zeros(()), 0, 0)
    for pack in packs:
        measured = course.measure(model, pack)
        measured.loss.backward()  # type: ignore[no-untyped-call]
        total += replace(measured, trained=len(pack.targets), tokens=pack.token_count)
    total = add_up(total, team)
    _check_loss(total.loss)
    parameters = [p for p in model.parameters() if p.requires_grad]
    for parameter in parameters:
        if parameter.grad is None:  # this process had no share in the batch
            parameter.grad = torch.zeros_like(parameter)
    team.add_up(parameter.grad for parameter in parameters)
    for parameter in parameters:
        parameter.grad.div_(max(1, total.count))
    torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total


def add_up(measured: Measured, team: Team) -> Measured:
    """The sums over all processes."""
    if team.size == 1:
        return measured
    told = [float(getattr(measured, field.name)) for field in fields(measured)]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    sums = torch.tensor(told, dtype=torch.float64, device=device)
    team.add_up([sums])
    return Measured(sums[0].float().cpu(), *map(int, sums[1:].tolist()))


def _check_loss(loss: torch.Tensor) -> None:
    if not torch.isfinite(loss):
        raise TrainingError(
            "the loss is no number any more: try a smaller learning_rate_multiplier, and look for "
            "examples that are not text",
            code="loss_diverged",
            param="learning_rate_multiplier",
        )


def mean(measured: Measured, side: str) -> dict[str, float]:
    count = max(1, measured.count)
    means = {
        f"{side}_loss": float(measured.loss.detach()) / count,
        f"{side}_mean_token_accuracy": measured.hits / count,
    }
    if measured.sequences:
        means[f"{side}_sequence_accuracy"] = measured.wholes / measured.sequences
    return means


@torch.no_grad()
def validate(course: Course, model: Any, corpus: Corpus | None, team: Team) -> dict[str, float]:
    """The means over the first sequences of the validation file."""
    if corpus is None:
        return {}
    model.eval()
    examples = team.share(np.arange(min(len(corpus), _VALIDATION_SEQUENCES) // course.sequences))
    total = Measured(torch.zeros(()), 0, 0)
    for pack in make_packs(corpus, course.sequences_of(examples), together=course.sequences):
        total += course.measure(model, pack)
    model.train()
    return mean(add_up(total, team), "valid")
