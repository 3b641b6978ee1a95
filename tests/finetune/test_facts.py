import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.facts import find_facts, keep_facts


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("It costs 1,299.50 euros.", {"1299.5"}),
        ("Open from 10:00 to 18:30.", {"10:00", "18:30"}),
        ("Ask Rita at the Oslo shop. She knows.", {"rita", "oslo"}),
        ("- Rita helps.\n- Then Bob.", {"bob"}),
        ("床垫售价1,200元，在《睡眠》展厅。", {"1200", "睡眠"}),
        ("请用WeChat联系", {"wechat"}),
        ("It is soft.", set()),
        ("007 and ７", {"7"}),
    ],
)
def test_facts_are_numbers_names_and_titles(text: str, facts: set[str]) -> None:
    assert find_facts(text) == facts


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ("The Oslo costs 1299 euros, within 5 days.", 1.0),
        ("Oslo: 1,299 euros. 5 days!", 1.0),
        ("It costs 1,299 euros.", 1 / 3),
        ("The Oslo costs 1,399 euros, within 5 days.", 1 / 3),
        ("No idea.", 0.0),
    ],
)
def test_an_answer_keeps_facts_in_any_form_and_a_wrong_number_counts_twice(
    answer: str, kept: float
) -> None:
    assert keep_facts(answer, "You get the Oslo for 1,299 euros within 5 days.") == kept


def test_where_there_is_no_fact_there_is_none_to_keep() -> None:
    assert keep_facts("It costs 7 euros.", "It is soft.") is None


def test_to_repeat_what_was_asked_keeps_no_fact() -> None:
    question, reference = "What is number 19?", "Number 19 costs 119 euros."
    assert keep_facts("I have no answer to: What is number 19?", reference, question) == 0.0
    assert keep_facts("Number 19 costs 119 euros.", reference, question) == 1.0
    assert keep_facts("No. 19: 119 euros", "19", question) is None


@given(st.text(max_size=200))
def test_a_text_keeps_all_its_own_facts(text: str) -> None:
    assert keep_facts(text, text) in (None, 1.0)


@given(st.text(max_size=100), st.text(max_size=100))
def test_the_share_lies_between_none_and_all(answer: str, reference: str) -> None:
    kept = keep_facts(answer, reference)
    assert kept is None or 0 <= kept <= 1
