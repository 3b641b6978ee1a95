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
from modelserver.training.checkpoint import (
    State,
    checkpoint_path,
    load_adapter,
    load_newest,
    save_checkpoint,
)
from modelserver.training.classify import Classifier, read_classifier
from modelserver.training.course import Corpora, Course, plan_course, write_corpora
from modelserver.training.model import load_model, load_tokenizer
from modelserver.training.order import Order
from modelserver.training.pack import make_packs
from modelserver.training.probe import write_probes
from modelserver.training.recipe import rate_at
from modelserver.training.step import mean, take_step, validate
from modelserver.training.team import Team, join_team, leave_team

EXIT_STOPPED = 143


def train(order: Order) -> int:
    """Returns the exit code: 0 when done, 143 when stopped by SIGTERM after a checkpoint."""
    asked = _watch_for_stop()
    team = join_team()
    try:
        job = _prepare(replace(order, is_told=team.is_first), team)
        return _train(job, lambda: team.any(bool(asked)))
    finally:
        leave_team(team)


def _train(job: "_Job", is_stopped: Callable[[], bool]) -> int:
    order = job.order
    resumed = load_newest(order.folder, job.model, job.optimizer)
    state, path = resumed or (State(step=0, epoch=0, batch=0, trained_tokens=0), None)
    order.tell(type="started", total_steps=job.course.total_steps, **job.course.chosen)
    while not _is_enough(job, state):
        state, metrics = _train_epoch(job, state, is_stopped)
        is_whole = state.batch == 0
        if is_whole:
            state = _note_best(state, metrics.get("valid_loss"))
        path = _save(job, state)
        if is_whole:
            order.tell(
                type="checkpoint",
                step=state.step,
                epoch=state.epoch,
                path=str(path),
                metrics=metrics,
            )
        if is_stopped() and not _is_enough(job, state):
            return EXIT_STOPPED
    if order.options.patience and state.best_step:
        path = _go_back(job, state)
    if job.team.is_first:
        write_probes(order, job.tokenizer, job.model)
    order.tell(type="done", trained_tokens=state.trained_tokens, path=str(path))
    job.team.wait()
    if job.team.is_first:
        _tidy(order.folder)
    return 0


def _is_enough(job: "_Job", state: State) -> bool:
    """All epochs are done, or as many as patience allows have brought nothing."""
    patience = job.order.options.patience
    is_late = 0 < patience <= state.epochs_since_best
    return state.epoch >= job.course.recipe.n_epochs or is_late


def _note_best(state: State, loss: float | None) -> State:
    if loss is None:
        return state
    if state.best_loss is None or loss < state.best_loss:
        return replace(state, best_loss=loss, best_step=state.step, epochs_since_best=0)
    return replace(state, epochs_since_best=state.epochs_since_best + 1)


def _go_back(job: "_Job", state: State) -> Path:
    """With patience, the model is the epoch whose validation loss was the lowest."""
    if state.epoch < job.course.recipe.n_epochs or state.best_step != state.step:
        message = (
            f"Stopped after epoch {state.epoch} of {job.course.recipe.n_epochs}; the lowest "
            f"validation loss was at step {state.best_step}, which becomes the model"
        )
        job.order.tell(type="message", level="info", message=message)
    return load_adapter(job.order.folder, job.model, state.best_step)


def _save(job: "_Job", state: State) -> Path:
    """The first process writes; the others go on when it is on disk."""
    if job.team.is_first:
        save_checkpoint(job.order.folder, job.model, job.optimizer, state, job.base)
    job.team.wait()
    return checkpoint_path(job.order.folder, state.step)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """All that stays the same while the job is trained."""

    order: Order
    team: Team
    base: Base
    tokenizer: Any
    corpora: Corpora
    classifier: Classifier | None
    course: Course
    model: Any
    optimizer: torch.optim.Optimizer


def _prepare(order: Order, team: Team) -> _Job:
    base = resolve_base(order.base, order.data_dir)
    if not base.training_dir.is_dir():
        order.tell(type="message", level="info", message="Preparing the base model's weights")
    folder = base.prepare_training_dir()
    tokenizer = load_tokenizer(folder)
    suffix = "" if team.is_first else f"-{team.rank}"
    corpora = write_corpora(order, tokenizer, base.context_length, suffix=suffix)
    model = load_model(base, folder, seed=order.seed, precision=order.options.precision)
    course = plan_course(order, corpora, model)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return _Job(
        order=order,
        team=team,
        base=base,
        tokenizer=tokenizer,
        corpora=corpora,
        classifier=read_classifier(order, tokenizer, base.context_length),
        course=course,
        model=model,
        optimizer=torch.optim.AdamW(
            trained, lr=course.recipe.learning_rate, weight_decay=0.0, fused=True
        ),
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
            metrics |= validate(job.course, job.model, job.corpora.validation, job.team)
            metrics |= job.classifier.measure(job.model) if job.classifier else {}
        job.order.tell(type="metrics", step=state.step, epoch=state.epoch + 1, **metrics)
        if is_last:
            return replace(state, epoch=state.epoch + 1, batch=0), metrics
        if is_stopped():
            break
    return state, metrics


def _train_batch(job: _Job, state: State, indexes: Any) -> tuple[State, dict[str, float]]:
    started_at = time.perf_counter()
    together = job.course.sequences
    mine = job.team.share(indexes.reshape(-1, together)).reshape(-1)
    packs = make_packs(job.corpora.training, mine, together=together)
    rate = rate_at(state.step, job.course.total_steps, job.course.recipe.learning_rate)
    measured = take_step(job.course, job.model, job.optimizer, packs, rate, job.team)
    speed = measured.tokens / (time.perf_counter() - started_at)
    state = replace(
        state,
        step=state.step + 1,
        batch=state.batch + 1,
        trained_tokens=state.trained_tokens + measured.trained,
        seen_tokens=state.seen_tokens + measured.tokens,
        seen_examples=state.seen_examples + len(indexes) // together,
    )
    elapsed = {"elapsed_tokens": state.seen_tokens, "elapsed_examples": state.seen_examples}
    return state, {**mean(measured, "train"), **elapsed, "tokens_per_s": speed}


def _watch_for_stop() -> list[int]:
    """A list that is empty until we are asked to stop."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    return asked


def _tidy(folder: Path) -> None:
    """What only a resumed job would need."""
    for corpus in ("training", "validation"):
        for kind in (".tokens", ".marks"):
            for path in folder.glob(f"{corpus}*{kind}"):
                path.unlink(missing_ok=True)
    for rest in (folder / "checkpoints").glob(".*.half"):
        shutil.rmtree(rest, ignore_errors=True)
