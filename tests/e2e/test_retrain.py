"""From imported pairs to a promoted model by the command line, with the stub engine."""

import json
import sqlite3
from pathlib import Path

from tests.e2e.running_nod import command, query

TOPICS = ["springs", "foam", "wool", "latex", "cover", "slats", "pillow", "topper", "frame"]
COUNT = 60


def test_approved_pairs_become_a_trained_model_and_a_verdict(
    tmp_path: Path,
) -> None:
    home = tmp_path / "nod"
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("".join(f"{json.dumps(_pair(number))}\n" for number in range(COUNT)))
    assert command(home, "import", str(pairs))[0] == 0
    _approve_everything(home)
    code, said, errors = command(home, "retrain")
    assert code == 0, said + errors
    [(state, job_id, train, holdout)] = query(
        home,
        "select run.state, job_id, train_count, holdout_count from run join dataset"
        " on dataset.id = run.dataset_id",
    )
    assert state in ("promoted", "refused"), said
    assert job_id is not None
    assert holdout > 0
    assert train + holdout == COUNT
    assert f"Run 1 is {state}" in said
    assert f"Run 1 is {state}" in command(home, "runs", "show", "1")[1]
    assert "nod-v1" in command(home, "models", "list")[1]
    code, said, errors = command(home, "advice")
    assert code == 0, errors
    assert "uning is" in said
    assert "live auto" in said
    code, said, errors = command(home, "lineage", "run:1")
    assert code == 0, errors
    assert "approved:" in said
    assert "customer" in said


def _pair(number: int) -> dict[str, str]:
    topic = f"{TOPICS[number % len(TOPICS)]} number {number}"
    return {
        "id": f"pair-{number}",
        "question": f"What can you tell me about the {topic}?",
        "answer": f"The {topic} costs {100 + number} dollars and ships within {number + 2} days.",
    }


def _approve_everything(home: Path) -> None:
    """As the console does with each; what the process learns from it, it finds at its start."""
    with sqlite3.connect(home / "nod.db") as connection:
        connection.execute(
            "insert into review (reply_id, verdict, text, phrasings, reason, reviewer, created_at)"
            " select id, 'approved', text, '[]', '', 'ada', created_at from reply"
        )
        connection.execute("update reply set needs_review = 0")
