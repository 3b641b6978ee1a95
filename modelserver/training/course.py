"""The course of one job: its corpora, its recipe, and the batches of each epoch."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelserver.training import objective
from modelserver.training.batches import plan_epoch
from modelserver.training.corpus import Corpus, write_corpus
from modelserver.training.order import Order
from modelserver.training.pack import Pack
from modelserver.training.recipe import Recipe, choose_recipe
from modelserver.training.render import render_example, render_pair, shows_tools

_TOLD_SKIPS = 20
_NO_PLACE_FOR_TOOLS = (
    "the base model's chat template has no place for tools: the examples' tools are left out; "
    "choose a base model that was made for tools"
)


@dataclass(frozen=True)
class Corpora:
    """What is trained on, and what is only measured."""

    training: Corpus
    validation: Corpus | None


@dataclass(frozen=True, kw_only=True)
class Course:
    """The recipe of one job over its corpus."""

    recipe: Recipe
    measure: Callable[[Any, Pack], objective.Measured]
    examples: int
    sequences: int
    """In one example: 2 for a pair."""
    seed: int

    @property
    def total_steps(self) -> int:
        return math.ceil(self.examples / self.recipe.batch_size) * self.recipe.n_epochs

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
        examples = plan_epoch(self.examples, self.recipe.batch_size, seed=self.seed, epoch=epoch)
        return [self.sequences_of(batch) for batch in examples]

    def sequences_of(self, examples: NDArray[np.int64]) -> NDArray[np.int64]:
        return (examples[:, None] * self.sequences + np.arange(self.sequences)).reshape(-1)


def write_corpora(
    order: Order, tokenizer: Any, context_length: int, *, suffix: str = ""
) -> Corpora:
    """`suffix` keeps the files of several processes apart."""
    warned: list[str] = []

    def render(example: dict[str, Any]) -> tuple[Any, ...]:
        if example.get("tools") and not warned and not shows_tools(tokenizer, example):
            warned.append(_NO_PLACE_FOR_TOOLS)
            order.tell(type="message", level="warn", message=_NO_PLACE_FOR_TOOLS)
        if order.method == "dpo":
            return render_pair(tokenizer, example)
        return render_example(tokenizer, example)

    told = 0

    def tell_skip(message: str) -> None:
        nonlocal told
        told += 1
        if told <= _TOLD_SKIPS:
            order.tell(type="message", level="warn", message=message)

    def write(source: Path, name: str) -> Corpus:
        target = order.folder / f"{name}{suffix}"
        return write_corpus(
            source, target, render, context_length=context_length, on_skip=tell_skip
        )

    training = write(order.training_file, "training")
    if training.skipped:
        message = f"{training.skipped} examples were too long and are left out"
        order.tell(type="message", level="warn", message=message)
    validation = write(order.validation_file, "validation") if order.validation_file else None
    return Corpora(training, validation)


def plan_course(order: Order, corpora: Corpora, model: Any) -> Course:
    is_dpo = order.method == "dpo"
    sequences = 2 if is_dpo else 1
    examples = len(corpora.training) // sequences
    parameters = sum(p.numel() for p in model.parameters())
    recipe = choose_recipe(order, examples=examples, parameters=parameters)

    return Course(
        recipe=recipe,
        measure=partial(objective.dpo, beta=recipe.beta) if is_dpo else objective.sft,
        examples=examples,
        sequences=sequences,
        seed=order.seed,
    )
