"""Synthesize: what a model writes is checked for form, repetition and coverage."""

import json
from collections.abc import Callable

import pytest

from bot.completion import ModelAwayError
from bot.prompt import Chat
from finetune import synthesize as module
from finetune.synthesize import EXAMPLE, Synthesis, find_pairs, synthesize

WORDS = ("oak", "pine", "wool", "silk", "cork", "hemp", "felt", "rope", "clay")


def _pairs(*questions: str) -> str:
    return json.dumps([{"question": each, "answer": f"It is {len(each)}."} for each in questions])


async def _run(
    says: Callable[[int, str], str], aspects: tuple[str, ...] = ("care", "price"), count: int = 6
) -> tuple[Synthesis, list[str]]:
    asked: list[str] = []

    async def write(prompt: Chat) -> str:
        asked.append(prompt[-1]["content"])
        return says(len(asked), asked[-1])

    return await synthesize(write, topic="beds", aspects=aspects, count=count), asked


async def test_every_aspect_gets_its_share() -> None:
    def says(number: int, asked: str) -> str:
        material = WORDS[number * 3 - 3 : number * 3]
        return _pairs(*(f"Is there {word} in the bed?" for word in material))

    made, asked = await _run(says)
    assert len(made.pairs) == 6
    assert made.by_aspect == {"care": 3, "price": 3}
    assert "beds: care" in asked[0]
    assert "beds: price" in asked[1]


SAME = ("Is it soft?", "Please, is it soft", "IS IT SOFT??")


async def test_the_same_question_in_other_words_and_the_example_are_dropped() -> None:
    made, asked = await _run(
        lambda number, asked: _pairs(
            EXAMPLE[0], "Is it soft?", "Please, is it soft", "IS IT SOFT??"
        ),
        aspects=(),
        count=5,
    )
    assert [pair.question for pair in made.pairs] == ["Is it soft?"]
    assert made.duplicates == 4 * len(asked) - 1
    assert len(asked) == 4  # it is plain that no more will come


async def test_what_has_not_the_right_form_is_dropped_and_counted() -> None:
    broken = '[{"question": "Is it?"}, {"question": "", "answer": "x"}, {"question": "Is...", '
    made, _ = await _run(lambda number, asked: broken, count=3)
    assert made.pairs == []
    assert made.malformed == made.requests


async def test_a_model_that_is_away_is_asked_again_and_what_there_is_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BACKOFF_S", 0.001)
    calls = 0

    async def write(prompt: Chat) -> str:
        nonlocal calls
        calls += 1
        if calls != 2:
            raise ModelAwayError("tiny: 503 busy")
        return _pairs("Is it soft?")

    made = await synthesize(write, topic="beds", aspects=["care"], count=3)
    assert [pair.question for pair in made.pairs] == ["Is it soft?"]
    assert made.last_error == "tiny: 503 busy"
    assert calls == 5


def test_pairs_are_found_whatever_stands_around_them() -> None:
    fenced = 'Sure! ```json\n{"pairs": [{"question": "a?", "answer": "b"}, {"question": 1}]}\n``` {'
    assert list(find_pairs(fenced)) == [("a?", "b")]
    lines = '{"question": "a?", "answer": "b"}\n{"question": "c", "answer": "d"}'
    assert list(find_pairs(lines)) == [("a?", "b"), ("c", "d")]
    assert list(find_pairs("no")) == []
