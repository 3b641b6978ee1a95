"""The sample shop teaches thirty facts, contradicts itself nowhere and gives no exam away."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from app.sample import DOCUMENTS, PAIRS, QUESTIONS
from app.sample_shop import CHANNEL
from app.settings import Settings
from finetune.split import side_of
from store import Split, conversation_id

TOPICS = {"comfort", "materials", "price", "delivery", "installation", "warranty", "returns"}
MAX_SIMILAR_WORDS = 0.8
HOLDOUT_SHARE = Settings.model_fields["holdout_share"].default
GATE_MIN_ITEMS = Settings.model_fields["gate_min_items"].default


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _wordings(pair: dict[str, Any]) -> list[str]:
    return [pair["question"], *pair["phrasings"]]


def _plain(question: str) -> str:
    return " ".join(re.findall(r"\w+", question.lower()))


def _numbers(text: str) -> set[str]:
    return set(re.findall(r"\d+(?:[.,]\d+)*", text))


PAIR_ROWS = _read(PAIRS)
QUESTION_ROWS = _read(QUESTIONS)
ON_TOPIC = [row for row in QUESTION_ROWS if row["fact"]]
ANSWERS = {pair["fact"]: pair["answer"] for pair in PAIR_ROWS}


def test_every_fact_is_asked_by_two_customers_and_answered_alike() -> None:
    assert Counter(pair["fact"] for pair in PAIR_ROWS) == dict.fromkeys(ANSWERS, 2)
    assert len(ANSWERS) == 30
    assert all(pair["answer"] == ANSWERS[pair["fact"]] for pair in PAIR_ROWS)
    assert len({pair["id"] for pair in PAIR_ROWS}) == 60


def test_no_two_facts_share_an_answer() -> None:
    assert len(set(ANSWERS.values())) == len(ANSWERS)


def test_every_wording_is_used_once() -> None:
    asked = Counter(_plain(wording) for pair in PAIR_ROWS for wording in _wordings(pair))
    asked.update(_plain(row["question"]) for row in QUESTION_ROWS)
    assert [wording for wording, count in asked.items() if count > 1] == []


@pytest.mark.parametrize("row", QUESTION_ROWS, ids=lambda row: row["question"][:40])
def test_a_held_out_question_is_no_copy_of_a_trained_one(row: dict[str, Any]) -> None:
    words = set(_plain(row["question"]).split())
    for pair in PAIR_ROWS:
        for wording in _wordings(pair):
            trained = set(_plain(wording).split())
            assert len(words & trained) / len(words | trained) < MAX_SIMILAR_WORDS, wording


def test_every_fact_has_two_held_out_questions_with_its_answer() -> None:
    assert Counter(row["fact"] for row in ON_TOPIC) == dict.fromkeys(ANSWERS, 2)
    assert all(row["answer"] == ANSWERS[row["fact"]] for row in ON_TOPIC)


def test_the_rest_of_the_questions_have_no_answer() -> None:
    off_topic = [row for row in QUESTION_ROWS if row["fact"] is None]
    assert len(off_topic) == 20
    assert all(row["answer"] is None for row in off_topic)


@pytest.mark.parametrize("pair", PAIR_ROWS, ids=lambda pair: pair["id"])
def test_a_pair_is_short_tagged_and_asked_in_three_ways(pair: dict[str, Any]) -> None:
    assert len(_wordings(pair)) == 3
    assert 15 <= len(pair["answer"].split()) <= 35
    assert pair["tags"][0] in TOPICS


def test_some_drafts_are_there_to_edit_and_some_to_reject() -> None:
    drafts = [pair for pair in PAIR_ROWS if "draft" in pair]
    assert Counter(pair["verdict"] for pair in drafts) == {"edited": 4, "rejected": 2}
    assert all(pair["reason"] and pair["draft"] != pair["answer"] for pair in drafts)
    rejected = [pair["fact"] for pair in drafts if pair["verdict"] == "rejected"]
    assert len(set(rejected)) == len(rejected), "each fact keeps a customer whose reply is approved"


def test_every_fact_is_trained_on_and_enough_are_held_out() -> None:
    held_out = [
        pair
        for pair in PAIR_ROWS
        if side_of(conversation_id(CHANNEL, pair["id"]), HOLDOUT_SHARE) is Split.holdout
    ]
    assert max(Counter(pair["fact"] for pair in held_out).values()) == 1
    assert all(pair.get("verdict") is None for pair in held_out)
    assert len(held_out) >= GATE_MIN_ITEMS


@pytest.mark.parametrize("fact", ANSWERS)
def test_an_answer_says_what_the_document_of_its_topic_says(fact: str) -> None:
    tags = next(pair["tags"] for pair in PAIR_ROWS if pair["fact"] == fact)
    document = (DOCUMENTS / f"{tags[0]}.md").read_text(encoding="utf-8")
    said = _numbers(ANSWERS[fact])
    assert said, "a fact is a number"
    assert said <= _numbers(document)
    assert ANSWERS[fact] not in document, "the answer is worded anew"


def test_there_is_one_document_a_topic_of_a_page() -> None:
    assert {path.stem for path in DOCUMENTS.glob("*.md")} == TOPICS
    for path in DOCUMENTS.glob("*.md"):
        assert 150 <= len(path.read_text(encoding="utf-8").split()) <= 350, path.name
