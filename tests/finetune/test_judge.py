"""A judge model compares in both orders over HTTP, and a run does not depend on it."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from sqlalchemy import select

from finetune.judge import Judge
from finetune.questions import JUDGE
from finetune.run import request_run
from store import Database, EvaluationItem, Run, RunState
from tests.finetune.shop import BASE_MODEL, approve_many, open_shop
from tests.loopback import Answering, serving

Say = Callable[[str, str], str | None]
"""By both answers what the judge says; none: it fails."""


@contextmanager
def judge_endpoint(say: Say, asked: list[str]) -> Iterator[str]:
    """A chat endpoint that reads the two answers out of the prompt."""

    class Handler(Answering):
        def do_POST(self) -> None:
            request = json.loads(self.read_body())
            prompt = request["messages"][0]["content"]
            asked.append(prompt)
            found = re.search(r"Answer 1:\n(.*)\n\nAnswer 2:\n(.*)\n\nWhich", prompt, re.DOTALL)
            assert found is not None
            said = say(found[1], found[2])
            body = json.dumps(_completion(said) if said else {"error": {"message": "down"}})
            self.answer(200 if said else 500, body.encode(), {"retry-after": "0"})

    with serving(Handler) as url:
        yield f"{url}/v1"


def _completion(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return {"id": "c", "object": "chat.completion", "created": 0, "model": "j", "choices": [choice]}


def item(output: str) -> EvaluationItem:
    return EvaluationItem(question="How much?", reference="It costs 7.", output=output)


def longer(first: str, second: str) -> str:
    return "1" if len(first) > len(second) else "2"


@pytest.mark.parametrize(
    ("say", "value"),
    [
        (lambda first, second: "1", 0.0),  # whatever stands first: no preference of its own
        (lambda first, second: "I say: Answer 2", 0.0),
        (lambda first, second: "tie", 0.0),
        (lambda first, second: "who knows", 0.0),
        (lambda first, second: "1" if "candidate" in first else "Answer 2.", 1.0),
        (lambda first, second: "1" if "live" in first else "2", -1.0),
        (lambda first, second: "tie" if "live" in first else "1", 0.0),
    ],
)
async def test_a_preference_counts_where_both_orders_agree(say: Say, value: float) -> None:
    asked: list[str] = []
    with judge_endpoint(say, asked) as url:
        async with AsyncOpenAI(base_url=url, api_key="none") as client:
            judge = Judge(client, "j")
            preference = await judge.compare(item("from live"), item("by candidate"))
    assert preference.value == value
    assert len(asked) == 2
    assert all("It costs 7." in prompt for prompt in asked)


async def test_equal_answers_are_a_tie_without_asking() -> None:
    asked: list[str] = []
    with judge_endpoint(longer, asked) as url:
        async with AsyncOpenAI(base_url=url, api_key="none") as client:
            preference = await Judge(client, "j").compare(item("same"), item(" same"))
    assert preference.value == 0.0
    assert asked == []


async def run_with(database: Database, home: Path, url: str, judge_url: str) -> Run:
    await approve_many(database)
    async with open_shop(database, home, url, judge_url=judge_url, max_retries=0) as shop:
        await shop.knowledge.sync()
        await request_run(database, trigger="command", requested_by="a", base_model=BASE_MODEL)
        return await shop.run_to_the_end()


async def test_a_judge_has_its_say_and_may_stop_a_candidate(
    database: Database, tmp_path: Path, modelserver_url: str
) -> None:
    def shorter(first: str, second: str) -> str:
        return "1" if len(first) < len(second) else "2"

    with judge_endpoint(shorter, []) as judge_url:
        run = await run_with(database, tmp_path, modelserver_url, judge_url)
    assert run.state is RunState.refused
    assert "the judge prefers what is live" in run.verdict["reasons"][0]
    async with database.read() as session:
        rows = (
            await session.scalars(select(EvaluationItem).where(EvaluationItem.arm == JUDGE))
        ).all()
    assert {row.scores["preference"] for row in rows} == {-1.0}
    assert {row.output for row in rows} == {"1, then 2"}


async def test_a_judge_that_is_away_is_not_waited_for_for_ever(
    database: Database, tmp_path: Path, modelserver_url: str
) -> None:
    with judge_endpoint(lambda first, second: None, []) as judge_url:
        run = await run_with(database, tmp_path, modelserver_url, judge_url)
    assert run.state is RunState.promoted, run.error
    assert "is away and was not heard" in run.verdict["reasons"][-1]


async def test_a_page_in_the_place_of_a_judge_is_a_judge_that_is_away(
    database: Database, tmp_path: Path, modelserver_url: str
) -> None:
    """As a base URL without /v1 leads to."""

    class Page(Answering):
        def do_POST(self) -> None:
            self.read_body()
            self.answer(200, b"<html>Welcome</html>", {"content-type": "text/html"})

    with serving(Page) as url:
        run = await run_with(database, tmp_path, modelserver_url, url)
    assert run.state is RunState.promoted, run.error
    assert "is away and was not heard" in run.verdict["reasons"][-1]
