"""How well a tuned model tells classes apart, where completions are labels: the metrics of 2023.

A model is asked how likely it finds each class after a prompt; the likeliest is its answer.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelserver.validate import TrainingFileError

Numbers = NDArray[np.float64]

MEASURED_EXAMPLES = 1000  # of the validation file, from its beginning
_MOST_CLASSES = 1000


@dataclass(frozen=True, kw_only=True)
class Task:
    """The classes as completions are written, and the positive one where there are two."""

    classes: tuple[str, ...]
    positive: str | None = None
    betas: tuple[float, ...] = ()


def read_task(asked: Mapping[str, Any], training: Path, validation: Path) -> Task:
    """`asked` is what /v1/fine-tunes was sent. Raises TrainingFileError with the way out."""
    found: set[str] = set()
    for path in (training, validation):
        for _, label in read_labelled(path):
            found.add(label)
            if len(found) > _MOST_CLASSES:
                raise TrainingFileError(
                    f"there are more than {_MOST_CLASSES} different completions: they are texts, "
                    "not classes; leave compute_classification_metrics out"
                )
    task = Task(
        classes=tuple(sorted(found)),
        positive=asked.get("classification_positive_class"),
        betas=tuple(asked.get("classification_betas") or ()),
    )
    _check(task, asked.get("classification_n_classes"))
    return task


def _check(task: Task, n_classes: int | None) -> None:
    expected = 2 if task.positive is not None else n_classes
    shown = ", ".join(repr(label) for label in task.classes[:10])
    if len(task.classes) != expected:
        raise TrainingFileError(
            f"there are {len(task.classes)} classes (different completions) in the files, not "
            f"{expected}: {shown}{', …' if len(task.classes) > 10 else ''}. Correct the number "
            "or the files; blanks and line ends count"
        )
    if task.positive is not None and task.positive not in task.classes:
        raise TrainingFileError(
            f"classification_positive_class {task.positive!r} is no completion in the files; "
            f"write it just as there: {shown}"
        )


def read_labelled(path: Path) -> Iterator[tuple[str, str]]:
    """Prompt and label of each line. Raises TrainingFileError where a line has none."""
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                example = json.loads(line)
                if "completion" not in example:
                    raise TrainingFileError(
                        f"line {number}: classes are told by completions: write each line as "
                        '{"prompt": …, "completion": …}'
                    )
                yield example["prompt"], example["completion"]


def read_measured(path: Path, task: Task) -> list[tuple[str, int]]:
    """Prompts of the validation file to measure on, each with the place of its class."""
    places = {label: place for place, label in enumerate(task.classes)}
    lines = islice(read_labelled(path), MEASURED_EXAMPLES)
    return [(prompt, places[label]) for prompt, label in lines]


def measure(task: Task, truth: Sequence[int], scores: Numbers) -> dict[str, float]:
    """Metrics under the names of 2023. `scores` (N, C): how likely each class was, as a logarithm.

    What is not defined, such as the AUROC where all are of one class, is left out.
    """
    true = np.asarray(truth)
    predicted = scores.argmax(axis=1)
    metrics = {"accuracy": float((predicted == true).mean())}
    if task.positive is None:
        metrics["weighted_f1_score"] = _weighted_f1(true, predicted)
    else:
        place = task.classes.index(task.positive)
        odds = scores[:, place] - scores[:, 1 - place]
        metrics |= _measure_binary(true == place, predicted == place, odds, task.betas)
    return {f"classification/{name}": value for name, value in metrics.items()}


def _measure_binary(
    true: NDArray[np.bool_], predicted: NDArray[np.bool_], odds: Numbers, betas: Sequence[float]
) -> dict[str, float]:
    hits = int((true & predicted).sum())
    precision = hits / max(1, int(predicted.sum()))
    recall = hits / max(1, int(true.sum()))
    metrics = {"precision": precision, "recall": recall}
    if 0 < true.sum() < len(true):
        metrics |= {"auroc": _auroc(true, odds), "auprc": _average_precision(true, odds)}
    for beta in dict.fromkeys((1.0, *map(float, betas))):
        metrics[f"f{beta}"] = _f_score(precision, recall, beta)
    return metrics


def _f_score(precision: float, recall: float, beta: float) -> float:
    """van Rijsbergen's F: (1 + b²) P R / (b² P + R), 0 where nothing was hit."""
    below = beta**2 * precision + recall
    return (1 + beta**2) * precision * recall / below if below else 0.0


def _weighted_f1(true: NDArray[Any], predicted: NDArray[Any]) -> float:
    """The mean F1 of the classes, each counting as often as it occurs.

    So does scikit-learn's `f1_score` with `average="weighted"`.
    """
    total = 0.0
    for label in np.unique(true):
        is_it = true == label
        hits = int((is_it & (predicted == label)).sum())
        f1 = 2 * hits / (int(is_it.sum()) + int((predicted == label).sum()))
        total += f1 * int(is_it.sum())
    return total / len(true)


def _auroc(true: NDArray[np.bool_], odds: Numbers) -> float:
    """The chance that a positive scores above a negative, a tie counting half.

    Mann and Whitney's U over the number of pairs (Fawcett 2006, section 7).
    """
    negatives = np.sort(odds[~true])
    below = np.searchsorted(negatives, odds[true], side="left")
    not_above = np.searchsorted(negatives, odds[true], side="right")
    return float((below + not_above).sum() / 2 / (len(negatives) * int(true.sum())))


def _average_precision(true: NDArray[np.bool_], odds: Numbers) -> float:
    """The area under precision over recall as a sum of steps, Σ (Rₙ - Rₙ₋₁) Pₙ.

    One step for each different score, as scikit-learn's `average_precision_score` has it.
    """
    order = np.argsort(-odds, kind="stable")
    is_last_of_score = np.append(np.diff(odds[order]) != 0, True)
    hits = np.cumsum(true[order])[is_last_of_score]
    asked = np.flatnonzero(is_last_of_score) + 1
    recalls = hits / int(true.sum())
    return float((np.diff(recalls, prepend=0.0) * (hits / asked)).sum())
