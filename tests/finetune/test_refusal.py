import pytest

from bot.phrases import Phrase
from finetune.refusal import is_refusal


@pytest.mark.parametrize(
    "text",
    [
        *Phrase.unknown.value,
        "I don't know that.",
        "Sorry, I cannot help with medical questions.",
        "We have no information about bicycles.",
        "I'm not sure; please ask a colleague.",
        "我不清楚，已请同事查看。",
        "抱歉，无法回答。",
    ],
)
def test_an_answer_that_admits_to_have_none_is_a_refusal(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "The Oslo costs 1,299 euros.",
        "You can return it within 30 days.",
        "No, we do not deliver on Sundays.",
        "We cannot deliver on Sundays, but on Mondays we can.",
        "床垫可在30天内退货。",
        "周日不送货。",
    ],
)
def test_a_no_that_answers_the_question_is_none(text: str) -> None:
    assert not is_refusal(text)
