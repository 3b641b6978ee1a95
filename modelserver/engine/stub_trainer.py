"""The stub's trainer: `python -m modelserver.engine.stub_trainer JOB_DIR` learns by heart.

It keeps to the contract of the real one (progress.jsonl, checkpoints, signals, exit codes).
"""

import json
import os
import signal
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

EXIT_STOPPED = 143


def train(folder: Path, delay_s: float) -> int:
    """One step and one checkpoint an epoch; goes on after the last checkpoint there is."""
    order = json.loads((folder / "job.json").read_text())
    lessons = _read_lessons(Path(order["training_file"]))
    classified = _classify(order, lessons) if order["classification"] else {}
    n_epochs = _choose(order, "n_epochs", 3)
    chosen = {
        "n_epochs": n_epochs,
        "batch_size": _choose(order, "batch_size", 4),
        "learning_rate_multiplier": _choose(order, "learning_rate_multiplier", 1.0),
        "beta": _choose(order, "beta", 0.1),
    }
    _tell(folder, type="started", total_steps=n_epochs, **chosen)
    is_stopped = _watch_for_stop()
    for epoch in range(_last_epoch(folder) + 1, n_epochs + 1):
        time.sleep(delay_s)
        path = _save(folder, epoch, lessons)
        metrics = _measure(epoch, lessons, has_validation=bool(order["validation_file"]))
        metrics |= classified
        _tell(folder, type="metrics", step=epoch, epoch=epoch, **metrics)
        _tell(folder, type="checkpoint", step=epoch, epoch=epoch, path=str(path), metrics=metrics)
        if is_stopped:
            return EXIT_STOPPED
    tokens = n_epochs * sum(len(answer.split()) for answer in lessons.values())
    _tell(folder, type="done", trained_tokens=tokens, path=str(_checkpoint(folder, n_epochs)))
    return 0


def _choose(order: dict[str, Any], key: str, auto: Any) -> Any:
    asked = order["hyperparameters"].get(key, "auto")
    return auto if asked == "auto" else asked


def _watch_for_stop() -> list[int]:
    """A list that is empty until we are asked to stop."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    return asked


def _read_lessons(path: Path) -> dict[str, str]:
    """What was asked last before each answer -> the answer."""
    lessons: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        if line.strip():
            lessons |= _read_example(json.loads(line))
    return lessons


def _read_example(example: dict[str, Any]) -> dict[str, str]:
    if "prompt" in example:
        return {example["prompt"]: example["completion"]}
    if "input" in example:
        messages = [*example["input"]["messages"], *example["preferred_completion"]]
    else:
        messages = example["messages"]
    pairs = pairwise(messages)
    return {
        _text(asked): _text(answer)
        for asked, answer in pairs
        if asked["role"] == "user" and answer["role"] == "assistant" and answer.get("weight") != 0
    }


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _checkpoint(folder: Path, epoch: int) -> Path:
    return folder / "checkpoints" / f"step-{epoch}"


def _last_epoch(folder: Path) -> int:
    saved = (folder / "checkpoints").glob("step-*/lessons.json")
    return max((int(path.parent.name.removeprefix("step-")) for path in saved), default=0)


def _save(folder: Path, epoch: int, lessons: dict[str, str]) -> Path:
    path = _checkpoint(folder, epoch)
    path.mkdir(parents=True, exist_ok=True)
    part = path / "lessons.json.part"
    part.write_text(json.dumps(lessons))
    part.rename(path / "lessons.json")
    return path


def _measure(epoch: int, lessons: dict[str, str], *, has_validation: bool) -> dict[str, float]:
    loss = 2 / epoch
    metrics = {
        "train_loss": loss,
        "train_mean_token_accuracy": 1 - loss / 4,
        "train_sequence_accuracy": 1 - loss / 2,
        "elapsed_tokens": epoch * _count_tokens(lessons),
        "elapsed_examples": epoch * len(lessons),
    }
    if has_validation:
        metrics |= {
            "valid_loss": loss * 1.1,
            "valid_mean_token_accuracy": 1 - loss / 3.5,
            "valid_sequence_accuracy": 1 - loss / 2,
        }
    return metrics


def _count_tokens(lessons: dict[str, str]) -> int:
    return sum(len(text.split()) for lesson in lessons.items() for text in lesson)


def _classify(order: dict[str, Any], lessons: dict[str, str]) -> dict[str, float]:
    """A class is as likely as the nearest question of that class is near: for all epochs alike."""
    import numpy as np

    from modelserver.classification import measure, read_measured, read_task
    from modelserver.engine.stub import similarity

    files = [Path(order[f"{side}_file"]) for side in ("training", "validation")]
    task = read_task(order["classification"], *files)
    asked = read_measured(files[1], task)

    def score(prompt: str, label: str) -> float:
        known = (one for one, answer in lessons.items() if answer == label)
        return max((similarity(prompt, one) for one in known), default=0.0)

    scores = [[score(prompt, label) for label in task.classes] for prompt, _ in asked]
    return measure(task, [place for _, place in asked], np.array(scores))


def _tell(folder: Path, **what: Any) -> None:
    with (folder / "progress.jsonl").open("a") as file:
        file.write(json.dumps(what) + "\n")


if __name__ == "__main__":
    delay_s = float(os.environ.get("MODELSERVER_STUB_DELAY_S", "0"))
    sys.exit(train(Path(sys.argv[1]), delay_s))
