"""`nod synthesize` as one types it, beside an endpoint that writes what models write."""

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from app.command_line import app
from tests.loopback import Answering, serving

TOWNS = ("Kiel", "Oslo", "Lima", "Cork", "Bern", "Nice", "Graz", "York", "Riga", "Turin")


class Writer(Answering):
    """A model that writes a list of pairs in a fence, one of them without an answer."""

    asked: list[dict[str, Any]]

    def do_GET(self) -> None:
        model = {"id": "writer", "object": "model", "created": 0, "owned_by": "test"}
        self.answer(200, json.dumps({"object": "list", "data": [model]}).encode())

    def do_POST(self) -> None:
        wanted = json.loads(self.read_body())
        if self.path.endswith("/embeddings"):
            vector = {"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}
            self.answer(200, json.dumps({"object": "list", "data": [vector]}).encode())
            return
        self.asked.append(wanted)
        number = len(self.asked)
        about = re.findall(r"delivery|returns", wanted["messages"][-1]["content"])[-1]
        pairs = [
            {"question": f"How does {about} to {place} go?", "answer": f"In {number} days."}
            for place in TOWNS[number * 2 - 2 : number * 2]
        ]
        broken = {"question": "And where is it?", "answer": ""}
        text = f"Here they are:\n```json\n{json.dumps([broken, *pairs])}\n```"
        self.answer(200, _stream(text), {"content-type": "text/event-stream"})


def _stream(text: str) -> bytes:
    about = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "writer"}
    parts = [{"role": "assistant", "content": text[:30]}, {"content": text[30:]}]
    choices = [{"index": 0, "delta": part, "finish_reason": None} for part in parts]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    chunks = [json.dumps(about | {"choices": [choice]}) for choice in choices]
    return "".join(f"data: {chunk}\n\n" for chunk in [*chunks, "[DONE]"]).encode()


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What the model was asked."""
    requests: list[dict[str, Any]] = []
    handler = type("ThisWriter", (Writer,), {"asked": requests})
    with serving(handler) as url:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("NOD_HOME", str(tmp_path / "nod"))
        monkeypatch.setenv("NOD_MODEL_BASE_URL", f"{url}/v1")
        monkeypatch.setenv("NOD_BASE_MODEL", "writer")
        monkeypatch.setenv("NOD_SAMPLE", "0")
        monkeypatch.setenv("COLUMNS", "200")
        yield requests


def nod(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_pairs_that_a_model_writes_wait_for_review_marked_as_synthetic(
    asked: list[dict[str, Any]], tmp_path: Path
) -> None:
    result = nod("synthesize", "--topic", "beds", "--aspects", "delivery, returns", "--n", "4")
    assert result.exit_code == 0, result.output
    assert "4 pairs wait for review, marked as synthetic" in result.output
    assert "dropped: 2 without the right form" in result.output
    assert {request["model"] for request in asked} == {"writer"}
    assert all("beds" in request["messages"][-1]["content"] for request in asked)
    with sqlite3.connect(tmp_path / "nod" / "nod.db") as connection:
        rows = connection.execute(
            "select turn.text, reply.text, reply.status, reply.reason, conversation.channel "
            "from reply join turn on turn.id = reply.turn_id "
            "join conversation on conversation.id = reply.conversation_id"
        ).fetchall()
    assert len(rows) == 4
    for question, answer, status, reason, channel in rows:
        assert question.startswith(("How does delivery to", "How does returns to"))
        assert answer.startswith("In ")
        assert (status, channel) == ("imported", "synthetic")
        assert "synthetic: written by writer about beds" in reason


def test_pairs_go_into_a_file_that_can_be_imported(asked: list[dict[str, Any]]) -> None:
    result = nod(
        "synthesize", "--topic", "beds", "--aspects", "returns", "--n", "3", "-o", "a.jsonl"
    )
    assert result.exit_code == 0, result.output
    written = [json.loads(line) for line in Path("a.jsonl").read_text("utf-8").splitlines()]
    assert len(written) == 3
    assert all(pair["question"].startswith("How does returns to") for pair in written)
    assert "3 pairs wait for review" in nod("import", "a.jsonl").output
    assert asked
