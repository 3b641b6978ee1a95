"""Classes are told apart by which of them the model in training finds likelier."""

from pathlib import Path

from modelserver.bases import Base
from modelserver.training.__main__ import main
from tests.modelserver.training.job import told, write_job

LABELS = (" hockey", " ball", " ballet")  # one begins like another
LINES = [
    {"prompt": f"{word} {n} ->", "completion": label}
    for n in range(4)
    for word, label in zip(("ice", "bat", "toe"), LABELS, strict=True)
]


def test_classes_are_measured_after_each_epoch_and_learnt(
    base: Base, data_dir: Path, tmp_path: Path
) -> None:
    job = write_job(
        tmp_path / "a",
        data_dir,
        LINES,
        validates=True,
        classification={"classification_n_classes": 3},
        n_epochs=8,
        batch_size=4,
        learning_rate_multiplier=5,
    )
    assert main(job) == 0
    metrics = told(job, "metrics")
    measured = [line for line in metrics if "classification/accuracy" in line]
    assert [line["step"] for line in measured] == [3 * epoch for epoch in range(1, 9)]
    assert measured[-1]["classification/accuracy"] == 1
    assert measured[-1]["classification/weighted_f1_score"] == 1
    assert measured[-1]["valid_sequence_accuracy"] > measured[0]["valid_sequence_accuracy"]
    assert metrics[0]["train_sequence_accuracy"] == 0
    assert [line["elapsed_examples"] for line in metrics[:4]] == [4, 8, 12, 16]
    seen = [line["elapsed_tokens"] for line in metrics]
    assert seen == sorted(set(seen))
    assert seen[5] == 2 * seen[2], "each epoch sees the same tokens"
