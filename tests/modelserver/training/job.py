"""A training job on the tiny model, as the server would order it."""

import json
from pathlib import Path
from typing import Any

from tests.modelserver.tiny_gguf import write_tiny_gguf

FACTS = [(f"question {n}?", f"answer {n * 7 % 10}{n}") for n in range(12)]


def chat_line(question: str, answer: str) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


def pair_line(question: str, chosen: str, rejected: str) -> dict[str, Any]:
    return {
        "input": {"messages": [{"role": "user", "content": question}]},
        "preferred_completion": [{"role": "assistant", "content": chosen}],
        "non_preferred_completion": [{"role": "assistant", "content": rejected}],
    }


def write_lines(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def write_job(
    folder: Path,
    data_dir: Path,
    lines: list[dict[str, Any]] | None = None,
    *,
    method: str = "supervised",
    validates: bool = False,
    options: dict[str, Any] | None = None,
    classification: dict[str, Any] | None = None,
    **hyperparameters: Any,
) -> Path:
    """JOB_DIR with its order; the base and its training folder are shared below `data_dir`."""
    folder.mkdir(parents=True, exist_ok=True)
    base = data_dir / "tiny.gguf"
    if not base.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        write_tiny_gguf(base)
    training = write_lines(folder / "train.jsonl", lines or [chat_line(*fact) for fact in FACTS])
    order = {
        "job_id": folder.name,
        "base": str(base),
        "data_dir": str(data_dir),
        "method": method,
        "hyperparameters": hyperparameters,
        "options": options or {},
        "seed": 7,
        "training_file": str(training),
        "validation_file": str(training) if validates else None,
        "classification": classification,
    }
    (folder / "job.json").write_text(json.dumps(order))
    return folder


def told(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The lines of one type that the trainer told."""
    path = folder / "progress.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in lines if line["type"] == kind]
