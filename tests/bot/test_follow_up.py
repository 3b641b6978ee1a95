"""What leans on the question before it is read with it; what stands by itself is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.follow_up import is_follow_up


@pytest.mark.parametrize(
    "question",
    [
        "And how long does that take?",
        "How much is it?",
        "Do they have a warranty too?",
        "How long?",
        "In blue?",
        "What about the large one?",
        "Why not?",
        "???",
        "多少钱？",
        "那大号的呢？",
        "它保修几年？",
        "这个可以退货吗？",
        "还有别的颜色吗？",
    ],
)
def test_a_question_without_a_topic_of_its_own_is_a_follow_up(question: str) -> None:
    assert is_follow_up(question)


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of France?",
        "Who won the world cup in 2018?",
        "How do I cook rice for eight people?",
        "Can you write a poem about autumn leaves?",
        "法国的首都在哪里？",
        "今天北京天气怎么样？",
        "请写一首关于秋天的诗",
    ],
)
def test_a_question_with_a_topic_stands_by_itself(question: str) -> None:
    assert not is_follow_up(question)


@given(st.text())
def test_every_text_is_one_or_the_other(text: str) -> None:
    assert is_follow_up(text) in (True, False)
