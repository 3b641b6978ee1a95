"""The metrics of classes: by hand, by their definition pair by pair, and where undefined."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelserver.classification import Task, measure, read_task
from modelserver.validate import TrainingFileError

SPORTS = Task(classes=(" baseball", " hockey"), positive=" hockey", betas=(0.5,))


def scores_of(odds: list[float]) -> np.ndarray:
    """Scores of two classes whose difference are these odds for the second."""
    return np.array([[0.0, odd] for odd in odds])


def write_file(path: Path, labels: list[str]) -> Path:
    lines = [{"prompt": f"p{i}", "completion": label} for i, label in enumerate(labels)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_two_classes_are_measured_as_by_hand() -> None:
    # found: hockey twice, once rightly; of two hockeys one is missed
    found = measure(SPORTS, [1, 1, 0, 0], scores_of([2.0, -1.0, 1.0, -2.0]))
    assert found == pytest.approx(
        {
            "classification/accuracy": 0.5,
            "classification/precision": 0.5,
            "classification/recall": 0.5,
            "classification/auroc": 0.75,
            "classification/auprc": 0.5 * 1 + 0.5 * 2 / 3,
            "classification/f1.0": 0.5,
            "classification/f0.5": 0.5,
        }
    )


def test_a_small_beta_counts_precision_for_more() -> None:
    # precision 1, recall 1/2: F1 = 2/3, F0.5 = 1.25 * 0.5 / (0.25 + 0.5)
    found = measure(SPORTS, [1, 1, 0], scores_of([1.0, -1.0, -2.0]))
    assert found["classification/f1.0"] == pytest.approx(2 / 3)
    assert found["classification/f0.5"] == pytest.approx(0.625 / 0.75)


def test_many_classes_have_a_weighted_f1() -> None:
    task = Task(classes=("a", "b", "c"))
    scores = np.eye(3)[[0, 0, 1, 2, 2]]
    found = measure(task, [0, 0, 0, 1, 2], scores)
    # a: 2 of 3 found, all that is said to be a is: F1 0.8; b: 0; c: precision 1/2: F1 2/3
    assert found == pytest.approx(
        {
            "classification/accuracy": 0.6,
            "classification/weighted_f1_score": (3 * 0.8 + 0 + 2 / 3) / 5,
        }
    )


def test_what_one_class_alone_does_not_define_is_left_out() -> None:
    found = measure(SPORTS, [0, 0], scores_of([-1.0, 1.0]))
    assert "classification/auroc" not in found
    assert found["classification/f1.0"] == 0


@given(
    st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=30).filter(
        lambda rows: len({true for true, _ in rows}) == 2
    )
)
def test_auroc_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[bool, int]]) -> None:
    positives = [odd for true, odd in rows if true]
    negatives = [odd for true, odd in rows if not true]
    pairs = [(p > n) + (p == n) / 2 for p in positives for n in negatives]
    found = measure(
        SPORTS, [int(true) for true, _ in rows], scores_of([float(odd) for _, odd in rows])
    )
    assert found["classification/auroc"] == pytest.approx(sum(pairs) / len(pairs))


@given(
    st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=30).filter(
        lambda rows: len({true for true, _ in rows}) == 2
    )
)
def test_auprc_adds_precision_at_each_threshold(rows: list[tuple[bool, int]]) -> None:
    count = sum(true for true, _ in rows)
    area, recall = 0.0, 0.0
    for threshold in sorted({odd for _, odd in rows}, reverse=True):
        said = [true for true, odd in rows if odd >= threshold]
        area += (sum(said) / count - recall) * sum(said) / len(said)
        recall = sum(said) / count
    found = measure(
        SPORTS, [int(true) for true, _ in rows], scores_of([float(odd) for _, odd in rows])
    )
    assert found["classification/auprc"] == pytest.approx(area)


def test_the_classes_are_the_completions_of_both_files(tmp_path: Path) -> None:
    training = write_file(tmp_path / "t", [" a", " b", " a"])
    validation = write_file(tmp_path / "v", [" c"])
    task = read_task({"classification_n_classes": 3}, training, validation)
    assert task.classes == (" a", " b", " c")


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"classification_n_classes": 3}, "2 classes .* not 3: ' a', ' b'"),
        ({"classification_positive_class": "a"}, "'a' is no completion .* ' a', ' b'"),
    ],
)
def test_classes_that_do_not_fit_the_files_are_told(
    tmp_path: Path, asked: dict[str, object], complaint: str
) -> None:
    file = write_file(tmp_path / "t", [" a", " b"])
    with pytest.raises(TrainingFileError, match=complaint):
        read_task(asked, file, file)


def test_chat_lines_have_no_classes(tmp_path: Path) -> None:
    file = tmp_path / "t"
    file.write_text('{"messages": [{"role": "user", "content": "x"}]}\n')
    with pytest.raises(TrainingFileError, match="line 1"):
        read_task({"classification_n_classes": 2}, file, file)
