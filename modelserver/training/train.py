"""Trains one job from its order to its last checkpoint; reads from top to bottom."""

import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from modelserver.bases import Base, resolve_base
from modelserver.training.checkpoint import State, load_newest, save_checkpoint
from modelserver.training.classify import Classifier, read_classifier
from modelserver.training.course import Corpora, Course, plan_course, write_corpora
from modelserver.training.model import load_model, load_tokenizer
from modelserver.training.order import Order
from modelserver.training.pack import make_packs
from modelserver.training.probe import write_probes
from modelserver.training.recipe import rate_at
from modelserver.training.step import mean, take_step, validate

EXIT_STOPPED = 143


def train(order: Order) -> int:
    """Returns the exit code: 0 when done, 143 when stopped by SIGTERM after a checkpoint."""
    is_stopped = _watch_for_stop()
    job = _prepare(order)
    resumed = load_newest(order.folder, job.model, job.optimizer)
    state, path = resumed or (State(step=0, epoch=0, batch=0, trained_tokens=0), None)
    order.tell(type="started", total_steps=job.course.total_steps, **job.course.chosen)
    while state.epoch < job.course.recipe.n_epochs:
        state, metrics = _train_epoch(job, state, is_stopped)
        path = save_checkpoint(order.folder, job.model, job.optimizer, state, job.base)
        is_whole = state.batch == 0
        if is_whole:
            order.tell(
                type="checkpoint",
                step=state.step,
                epoch=state.epoch,
                path=str(path),
                metrics=metrics,
            )
        if is_stopped() and state.epoch < job.course.recipe.n_epochs:
            return EXIT_STOPPED
    write_probes(order, job.tokenizer, job.model)
    order.tell(type="done", trained_tokens=state.trained_tokens, path=str(path))
    _tidy(order.folder)
    return 0


@dataclass(frozen=True, kw_only=True)
class _Job:
    """All that stays the same while the job is trained."""

    order: Order
    base: Base
    tokenizer: Any
    corpora: Corpora
    classifier: Classifier | None
    course: Course
    model: Any
    optimizer: torch.optim.Optimizer


def _prepare(order: Order) -> _Job:
    base = resolve_base(order.base, order.data_dir)
    if not base.training_dir.is_dir():
        order.tell(type="message", level="info", message="Preparing the base model's weights")
    folder = base.prepare_training_dir()
    tokenizer = load_tokenizer(folder)
    corpora = write_corpora(order, tokenizer, base.context_length)
    model = load_model(base, folder, seed=order.seed)
    course = plan_course(order, corpora, model)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return _Job(
        order=order,
        base=base,
        tokenizer=tokenizer,
        corpora=corpora,
        classifier=read_classifier(order, tokenizer, base.context_length),
        course=course,
        model=model,
        optimizer=torch.optim.AdamW(trained, lr=course.recipe.learning_rate, weight_decay=0.0),
    )


def _train_epoch(
    job: _Job, state: State, is_stopped: Callable[[], bool]
) -> tuple[State, dict[str, float]]:
    """What is left of the present epoch, and its last metrics; less when asked to stop."""
    batches = job.course.batches(state.epoch)
    metrics: dict[str, float] = {}
    for indexes in batches[state.batch :]:
        state, metrics = _train_batch(job, state, indexes)
        is_last = state.batch == len(batches)
        if is_last:
            metrics |= validate(job.course, job.model, job.corpora.validation)
            metrics |= job.classifier.measure(job.model) if job.classifier else {}
        job.order.tell(type="metrics", step=state.step, epoch=state.epoch + 1, **metrics)
        if is_last:
            return replace(state, epoch=state.epoch + 1, batch=0), metrics
        if is_stopped():
            break
    return state, metrics


def _train_batch(job: _Job, state: State, indexes: Any) -> tuple[State, dict[str, float]]:
    started_at = time.perf_counter()
    corpus, together = job.corpora.training, job.course.sequences
    packs = list(make_packs(corpus, indexes, together=together))
    rate = rate_at(state.step, job.course.total_steps, job.course.recipe.learning_rate)
    measured = take_step(job.course, job.model, job.optimizer, packs, rate)
    tokens = sum(pack.token_count for pack in packs)
    speed = tokens / (time.perf_counter() - started_at)
    state = replace(
        state,
        step=state.step + 1,
        batch=state.batch + 1,
        trained_tokens=state.trained_tokens + sum(len(pack.targets) for pack in packs),
        seen_tokens=state.seen_tokens + tokens,
        seen_examples=state.seen_examples + len(indexes) // together,
    )
    elapsed = {"elapsed_tokens": state.seen_tokens, "elapsed_examples": state.seen_examples}
    return state, {**mean(measured, "train"), **elapsed, "tokens_per_s": speed}


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
