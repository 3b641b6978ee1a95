import json
from pathlib import Path

from app.demo import run_demo
from app.sample import PAIRS, QUESTIONS
from app.settings import Settings
from store import Mode


async def test_the_demo_plays_the_whole_loop_and_writes_its_figures(tmp_path: Path) -> None:
    figures = tmp_path / "demo.json"
    await run_demo(Settings(home=tmp_path, model_engine="stub"), json_path=figures)
    told = json.loads(figures.read_text())
    assert told["review"] == {"approved": 54, "edited": 4, "rejected": 2}
    assert told["run"]["state"] in ("promoted", "refused")
    assert told["run"]["losses"]
    assert set(told["after"]) == set(Mode)
    assert set(told["run"]["verdict"]["scoreboard"]) >= {"base", "retrieval", "tuned", "hybrid"}
    assert told["dataset"]["train"] > 60


def test_no_question_of_the_demo_is_one_that_is_trained_on() -> None:
    pairs = [json.loads(line) for line in PAIRS.read_text(encoding="utf-8").splitlines()]
    trained = {text for pair in pairs for text in (pair["question"], *pair.get("phrasings", ()))}
    asked = {json.loads(line)["question"] for line in QUESTIONS.read_text("utf-8").splitlines()}
    assert not asked & trained
