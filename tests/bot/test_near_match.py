"""Which of two near questions ask the same, by their words alone."""

import pytest

from bot.near_match import compare, repeats

SATURDAY = ["Can you deliver on Saturday?", "Do you deliver at the weekend?"]


def differs(asked: str, approved: str, *phrasings: str) -> str | None:
    return compare(asked, approved, [approved, *phrasings])


@pytest.mark.parametrize(
    ("asked", "approved"),
    [
        ("CAN YOU DELIVER on saturday!?", "Can you deliver on Saturday?"),
        ("Hi, do you deliver on Saturdays please?", "Can you deliver on Saturday?"),
        ("could you bring it this saturday?", "Can you deliver on Saturday?"),
        ("Is Saturday delivery possible", "Can you deliver on Saturday?"),
        ("any student discounts?", "Do you have a student discount?"),
        ("Do you deliver on Saturday or not?", "Can you deliver on Saturday?"),
        ("I live on the 3rd floor", "I live on the third floor"),
        ("I cant pay at once", "I cannot pay at once"),
        ("I weigh 140kg", "I weigh 140 kg"),
        ("能不能周六送货", "可以星期六送货吗？"),
        ("有没有学生优惠", "学生有优惠吗"),
        ("可以退吗", "可以退不？"),
        ("能分十二期吗", "可以分12期吗"),
        ("没有电梯能送上楼吗", "没电梯可以送上楼吗"),
        ("旧床垫 回收 吗", "旧床垫回收吗？"),
    ],
)
def test_the_same_question_in_other_words_is_a_match(asked: str, approved: str) -> None:
    assert differs(asked, approved) is None


@pytest.mark.parametrize(
    ("asked", "approved", "word"),
    [
        ("Do you deliver on Sundays?", "Can you deliver on Saturday?", "sundays"),
        ("Is there a discount for teachers?", "Do you have a student discount?", "teachers"),
        ("What is the warranty on pillows?", "What is the warranty on mattresses?", "pillows"),
        ("I weigh 200 kilos", "I weigh 140 kilos", "200"),
        ("Can I pay in three instalments?", "Can I pay in instalments?", "three"),
        ("Should I not turn it over?", "Should I turn it over?", "not"),
        ("I have a lift", "I have no lift", "no"),
        ("Can I wash the mattress?", "Can I wash the mattress cover?", "cover"),
        ("Can you bring a mattress?", "Can you deliver on Saturday?", "mattress"),
        ("Can you bring it?", "Can you deliver on Saturday?", "saturday"),
        ("Where is my delivery?", "How is my delivery?", "where"),
        ("Liefern Sie nach Bern?", "Liefern Sie nach Basel?", "bern"),
        ("周日送货吗", "周六送货吗", "周日"),
        ("礼拜天送货吗", "周六送货吗", "周日"),
        ("老师有优惠吗", "学生有优惠吗", "老师"),
        ("床架保修几年", "床垫保修几年", "床架保修几年"),
        ("能分24期吗", "能分12期吗", "24"),
        ("二十楼送吗", "六楼送吗", "二十"),
        ("床垫套不可以机洗吗", "床垫套可以机洗吗", "不"),
        ("有电梯能送上楼吗", "没有电梯能送上楼吗", "没"),
        ("床垫可以机洗吗", "床垫套可以机洗吗", "床垫套"),
    ],
)
def test_the_word_that_makes_it_another_question_is_named(
    asked: str, approved: str, word: str
) -> None:
    assert repr(word) in (differs(asked, approved) or "")


def test_the_words_of_every_phrasing_of_the_reply_count() -> None:
    asked, approved = "Do you ship to the islands?", "Do you deliver to the islands?"
    assert differs(asked, approved) == "only the customer says 'ship'"
    assert differs(asked, approved, "I live on an island. Can you ship to me?") is None


def test_a_day_has_to_be_in_the_nearest_phrasing() -> None:
    approved = "I work all week. Can you come when I am off?"
    asked = "I work all week. Can you come on Monday when I am off?"
    why = differs(asked, approved, "Nobody is home from Monday to Friday. What can we do?")
    assert why == "only the customer says 'monday'"


def test_a_long_message_is_quoted_in_part() -> None:
    why = differs("My aunt from Kiel bought her purple sofa in spring", SATURDAY[0])
    assert why == "only the customer says 'aunt', 'from', 'kiel', 'bought'"


def test_an_answer_repeats_a_reply_where_most_of_it_is_in_the_reply() -> None:
    reply = "Of course: we also deliver on Saturday mornings, for 25 dollars on top."
    assert repeats("We deliver on Saturday mornings for 25 dollars.", reply)
    assert not repeats("Sorry, on Sundays our drivers rest.", reply)


@pytest.mark.parametrize("text", ["", "???", "不", "一", "十十", "or not", "3", "请问"])
def test_any_text_can_be_compared(text: str) -> None:
    assert compare(text, text, []) is None
    compare(text, SATURDAY[0], SATURDAY)
    compare(SATURDAY[0], text, [])
