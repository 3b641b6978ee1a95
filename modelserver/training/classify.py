"""How likely the model in training finds each class of a task, measured on the validation file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from modelserver.classification import Task, measure, read_measured, read_task
from modelserver.training.corpus import Corpus
from modelserver.training.objective import sequence_logprobs
from modelserver.training.order import Order
from modelserver.training.pack import make_packs
from modelserver.training.render import render_example


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """The prompts that are asked, each with the place of its class."""

    task: Task
    questions: Sequence[tuple[str, int]]
    tokenizer: Any
    context_length: int

    @torch.no_grad()
    def measure(self, model: Any) -> dict[str, float]:
        """Each class is a sequence of its own behind the prompt, which its pack computes once."""
        model.eval()
        truth: list[int] = []
        scores: list[list[float]] = []
        for prompt, place in self.questions:
            choices = self._render(prompt)
            if choices.lengths.max() > self.context_length:
                continue
            packs = make_packs(choices, np.arange(len(choices)))
            scores.append([p for pack in packs for p in sequence_logprobs(model, pack).tolist()])
            truth.append(place)
        model.train()
        return measure(self.task, truth, np.array(scores)) if scores else {}

    def _render(self, prompt: str) -> Corpus:
        """One sequence a class."""
        rendered = [
            sequence
            for label in self.task.classes
            for sequence in render_example(self.tokenizer, {"prompt": prompt, "completion": label})
        ]
        return Corpus(
            tokens=np.array([i for one in rendered for i in one.ids], dtype=np.int32),
            marks=np.array([m for one in rendered for m in one.is_trained], dtype=np.uint8),
            places=np.cumsum([0, *(len(one.ids) for one in rendered)]),
            skipped=0,
        )


def read_classifier(order: Order, tokenizer: Any, context_length: int) -> Classifier | None:
    """None where no classes were asked for."""
    if order.classification is None or order.validation_file is None:
        return None
    task = read_task(order.classification, order.training_file, order.validation_file)
    return Classifier(
        task=task,
        questions=read_measured(order.validation_file, task),
        tokenizer=tokenizer,
        context_length=context_length,
    )
