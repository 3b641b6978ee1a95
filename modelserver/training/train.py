"""Trains one job from its order to its last checkpoint; reads from top to bottom."""

import math
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modelserver.bases import resolve_base
from modelserver.training import objective
from modelserver.training.batches import Batch, collate, plan_epoch
from modelserver.training.checkpoint import State, load_newest, save_checkpoint
from modelserver.training.corpus import Corpus, write_corpus
from modelserver.training.model import load_model, load_tokenizer
from modelserver.training.order import Order, TrainingError
from modelserver.training.recipe import CLIP_NORM, Recipe, choose_recipe, rate_at
from modelserver.training.render import render_example, render_pair

EXIT_STOPPED = 143
_TOLD_SKIPS = 20
_VALIDATION_SEQUENCES = 200


def train(order: Order) -> int:
    """Returns the exit code: 0 when done, 143 when stopped by SIGTERM after a checkpoint."""
    is_stopped = _watch_for_stop()
    base = resolve_base(order.base, order.data_dir)
    if not base.training_dir.is_dir():
        order.tell(type="message", level="info", message="Preparing the base model's weights")
    folder = base.prepare_training_dir()
    tokenizer = load_tokenizer(folder)
    corpora = _write_corpora(order, tokenizer, base.context_length)
    model = load_model(base, folder, seed=order.seed)
    course = _plan(order, corpora, model)
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=course.recipe.learning_rate,
        weight_decay=0.0,
    )
    resumed = load_newest(order.folder, model, optimizer)
    state, path = resumed or (State(step=0, epoch=0, batch=0, trained_tokens=0), None)
    order.tell(type="started", total_steps=course.total_steps, **course.chosen)
    pad = tokenizer.pad_token_id or tokenizer.eos_token_id or 0

    for epoch in range(state.epoch, course.recipe.n_epochs):
        batches = course.batches(epoch)
        for place in range(state.batch, len(batches)):
            started_at = time.perf_counter()
            batch = collate(corpora.training, batches[place], pad=pad)
            rate = rate_at(state.step, course.total_steps, course.recipe.learning_rate)
            measured = _take_step(course, model, optimizer, batch, rate)
            state = State(
                step=state.step + 1,
                epoch=epoch,
                batch=place + 1,
                trained_tokens=state.trained_tokens + int(batch.is_trained.sum()),
            )
            metrics = _mean(measured, "train")
            metrics["tokens_per_s"] = int(batch.is_real.sum()) / (time.perf_counter() - started_at)
            if place + 1 < len(batches):
                order.tell(type="metrics", step=state.step, epoch=epoch + 1, **metrics)
                if is_stopped():
                    save_checkpoint(order.folder, model, optimizer, state, base)
                    return EXIT_STOPPED
        metrics |= _validate(course, model, corpora.validation, pad)
        order.tell(type="metrics", step=state.step, epoch=epoch + 1, **metrics)
        state = replace(state, epoch=epoch + 1, batch=0)
        path = save_checkpoint(order.folder, model, optimizer, state, base)
        order.tell(
            type="checkpoint", step=state.step, epoch=epoch + 1, path=str(path), metrics=metrics
        )
        if is_stopped() and epoch + 1 < course.recipe.n_epochs:
            return EXIT_STOPPED
    assert path is not None
    order.tell(type="done", trained_tokens=state.trained_tokens, path=str(path))
    _tidy(order.folder)
    return 0


@dataclass(frozen=True)
class Corpora:
    """What is trained on, and what is only measured."""

    training: Corpus
    validation: Corpus | None


@dataclass(frozen=True, kw_only=True)
class Course:
    """The recipe of one job over its corpus."""

    recipe: Recipe
    measure: Callable[[Any, Batch], objective.Measured]
    lengths: NDArray[np.int64]
    """Of each example, a pair counting with both its sequences."""
    sequences: int
    """In one example: 2 for a pair."""
    seed: int

    @property
    def total_steps(self) -> int:
        return math.ceil(len(self.lengths) / self.recipe.batch_size) * self.recipe.n_epochs

    @property
    def chosen(self) -> dict[str, float]:
        recipe = self.recipe
        chosen: dict[str, float] = {
            "n_epochs": recipe.n_epochs,
            "batch_size": recipe.batch_size,
            "learning_rate_multiplier": recipe.learning_rate_multiplier,
        }
        return chosen | ({"beta": recipe.beta} if self.sequences == 2 else {})

    def batches(self, epoch: int) -> list[NDArray[np.int64]]:
        """Indexes of sequences; the two of a pair stay together."""
        examples = plan_epoch(self.lengths, self.recipe.batch_size, seed=self.seed, epoch=epoch)
        return [self.sequences_of(batch) for batch in examples]

    def sequences_of(self, examples: NDArray[np.int64]) -> NDArray[np.int64]:
        return (examples[:, None] * self.sequences + np.arange(self.sequences)).reshape(-1)


def _write_corpora(order: Order, tokenizer: Any, context_length: int) -> Corpora:
    def render(example: dict[str, Any]) -> tuple[Any, ...]:
        if order.method == "dpo":
            return render_pair(tokenizer, example)
        return (render_example(tokenizer, example),)

    told = 0

    def tell_skip(message: str) -> None:
        nonlocal told
        told += 1
        if told <= _TOLD_SKIPS:
            order.tell(type="message", level="warn", message=message)

    def write(source: Path, name: str) -> Corpus:
        target = order.folder / name
        return write_corpus(
            source, target, render, context_length=context_length, on_skip=tell_skip
        )

    training = write(order.training_file, "training")
    if training.skipped:
        message = f"{training.skipped} examples were too long and are left out"
        order.tell(type="message", level="warn", message=message)
    validation = write(order.validation_file, "validation") if order.validation_file else None
    return Corpora(training, validation)


def _plan(order: Order, corpora: Corpora, model: Any) -> Course:
    sequences = 2 if order.method == "dpo" else 1
    lengths = corpora.training.lengths.reshape(-1, sequences).sum(axis=1)
    parameters = sum(p.numel() for p in model.parameters())
    recipe = choose_recipe(order, examples=len(lengths), parameters=parameters)

    def measure(model: Any, batch: Batch) -> objective.Measured:
        if order.method == "dpo":
            return objective.dpo(model, batch, recipe.beta)
        return objective.sft(model, batch)

    return Course(
        recipe=recipe, measure=measure, lengths=lengths, sequences=sequences, seed=order.seed
    )


def _take_step(
    course: Course, model: Any, optimizer: torch.optim.Optimizer, batch: Batch, rate: float
) -> objective.Measured:
    """One optimizer step; the loss is the mean over trained tokens, whatever the padding.

    Gradients of the sum are accumulated part by part, and divided once the count is known.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate
    total = objective.Measured(torch.zeros(()), 0, 0)
    for part in batch.parts(course.sequences):
        measured = course.measure(model, part)
        measured.loss.backward()  # type: ignore[no-untyped-call]
        total += measured
    _check_loss(total.loss)
    parameters = [p for p in model.parameters() if p.grad is not None]
    for parameter in parameters:
        parameter.grad.div_(max(1, total.count))
    torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total


def _check_loss(loss: torch.Tensor) -> None:
    if not torch.isfinite(loss):
        raise TrainingError(
            "the loss is no number any more: try a smaller learning_rate_multiplier, and look for "
            "examples that are not text",
            code="loss_diverged",
            param="learning_rate_multiplier",
        )


def _mean(measured: objective.Measured, side: str) -> dict[str, float]:
    count = max(1, measured.count)
    return {
        f"{side}_loss": float(measured.loss.detach()) / count,
        f"{side}_mean_token_accuracy": measured.hits / count,
    }


@torch.no_grad()
def _validate(course: Course, model: Any, corpus: Corpus | None, pad: int) -> dict[str, float]:
    """The means over the first sequences of the validation file."""
    if corpus is None:
        return {}
    model.eval()
    examples = np.arange(min(len(corpus), _VALIDATION_SEQUENCES) // course.sequences)
    total = objective.Measured(torch.zeros(()), 0, 0)
    for indexes in _in_batches(examples, course.recipe.batch_size):
        batch = collate(corpus, course.sequences_of(indexes), pad=pad)
        for part in batch.parts(course.sequences):
            total += course.measure(model, part)
    model.train()
    return _mean(total, "valid")


def _in_batches(examples: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(examples), size):
        yield examples[start : start + size]


def _watch_for_stop() -> Callable[[], bool]:
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    return lambda: bool(asked)


def _tidy(folder: Path) -> None:
    """What only a resumed job would need."""
    for corpus in ("training", "validation"):
        for kind in (".tokens", ".marks"):
            (folder / corpus).with_suffix(kind).unlink(missing_ok=True)
    for rest in (folder / "checkpoints").glob(".*.half"):
        shutil.rmtree(rest, ignore_errors=True)
