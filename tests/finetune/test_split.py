import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.examples import Approved
from finetune.near import find_near, normalize
from finetune.split import side_of, split
from store import Split, conversation_id

ids = st.text(max_size=20).map(lambda address: conversation_id("web", address))


def approved(question: str, address: str, answer: str = "Yes.") -> Approved:
    return Approved(
        conversation_id=conversation_id("web", address),
        reply_id=1,
        phrasing=0,
        question=question,
        answer=answer,
        history=[],
    )


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=8)), max_size=40))
def test_no_conversation_and_no_question_stands_on_both_sides(rows: list[tuple[str, str]]) -> None:
    sides, _ = split([approved(question, address) for question, address in rows], 0.4)
    train, holdout = sides[Split.train], sides[Split.holdout]
    assert not {e.conversation_id for e in train} & {e.conversation_id for e in holdout}
    assert not {normalize(e.question) for e in train} & {normalize(e.question) for e in holdout}


@given(ids, st.floats(0.01, 0.5), st.floats(0.0, 0.4))
def test_a_larger_share_never_brings_a_held_out_conversation_into_training(
    id_: str, share: float, more: float
) -> None:
    if side_of(id_, share) is Split.holdout:
        assert side_of(id_, share + more) is Split.holdout


def test_the_side_of_a_conversation_never_changes() -> None:
    # Fixed for ever: other sides would put what was held out into training.
    sides = [side_of(conversation_id("web", str(n)), 0.2) for n in range(12)]
    assert [n for n, side in enumerate(sides) if side is Split.holdout] == [5, 7, 11]


def test_the_share_is_about_what_was_asked_for() -> None:
    sides = [side_of(conversation_id("web", str(n)), 0.2) for n in range(5000)]
    assert 0.18 < sides.count(Split.holdout) / 5000 < 0.22


def test_a_pair_said_before_is_dropped_and_counted() -> None:
    twice = [approved("Do you deliver?", "9"), approved("do you DELIVER", "9")]
    sides, dropped = split(twice, 0.0)
    assert len(sides[Split.train]) == 1
    assert dropped == {"said before": 1}
    other_answer = approved("Do you deliver?", "9", "Only in May.")
    assert len(split([twice[0], other_answer], 0.0)[0][Split.train]) == 2


def test_chinese_questions_keep_their_words() -> None:
    assert normalize("你们　送货吗？！") == "你们 送货吗"
    assert normalize("ＡＢＣ１２３") == "abc123"


@pytest.mark.parametrize(
    ("one", "other", "is_near"),
    [
        ("How do I return a bed?", "hi, how do i return a bed please", True),
        ("How do I return a bed?", "How do I retrun a bed", True),
        ("A bed, how do I return it?", "How do I return a bed?", True),
        ("How do I return a bed?", "How do I return a lamp?", False),
        ("Is the 90 cm one in stock?", "Is the 140 cm one in stock?", False),
        ("Where is my parcel?", "Do you deliver to Norway?", False),
        ("你们的床垫怎么退货？", "请问床垫怎么退货", True),
        ("大号的枕头多少钱？", "小号的枕头多少钱？", False),
    ],
)
def test_near_is_the_same_question_and_not_one_about_something_else(
    one: str, other: str, is_near: bool
) -> None:
    assert bool(list(find_near([one], [other], 0.85))) is is_near
