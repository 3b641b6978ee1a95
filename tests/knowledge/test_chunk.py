"""Passages hold the budget, keep the order, and together are the whole document."""

import re

from hypothesis import given
from hypothesis import strategies as st

from knowledge.block import Block, BlockKind
from knowledge.chunk import BUDGET, size_of, split_blocks

words = st.text(
    alphabet=st.sampled_from("abcXYZ019.,;:!?。！？，、 \n\t\"'”(（床垫很好用的送货é한"),
    max_size=1500,
)
blocks = st.lists(
    st.builds(
        Block,
        text=words,
        heading=st.sampled_from(["", "Price", "Delivery > Abroad"]),
        kind=st.sampled_from([BlockKind.prose, BlockKind.lines]),
    ),
    max_size=8,
)


def letters(text: str) -> str:
    return re.sub(r"\s", "", text)


@given(blocks)
def test_no_text_is_lost_and_the_order_is_kept(given_blocks: list[Block]) -> None:
    pieces = split_blocks(given_blocks)
    assert letters("".join(piece.text for piece in pieces)) == letters(
        "".join(block.text for block in given_blocks)
    )


@given(blocks)
def test_no_passage_is_above_the_budget(given_blocks: list[Block]) -> None:
    for piece in split_blocks(given_blocks):
        assert size_of(piece.text) <= BUDGET
        assert piece.text.strip()


@given(words, words)
def test_the_size_of_a_text_is_not_above_that_of_its_parts(one: str, other: str) -> None:
    assert size_of(one + other) <= size_of(one) + size_of(other) + 1e-6


def test_a_passage_does_not_reach_over_a_heading() -> None:
    pieces = list(split_blocks([Block("Ten.", "Price"), Block("Twelve.", "Size")]))
    assert [(piece.heading, piece.text) for piece in pieces] == [
        ("Price", "Ten."),
        ("Size", "Twelve."),
    ]


def test_short_blocks_share_a_passage_and_a_list_stays_whole() -> None:
    items = Block("\n".join(f"- item {n} of the list" for n in range(25)), kind=BlockKind.lines)
    first, second = split_blocks([Block("An opening. " * 30), items, Block("An end.")])
    assert first.text.startswith("An opening.")
    assert "item" not in first.text
    assert second.text == f"{items.text}\n\nAn end."


def test_a_long_paragraph_is_split_between_sentences() -> None:
    sentence = "The mattress is made of latex, e.g. from Sri Lanka, and lasts for ten years. "
    for piece in split_blocks([Block(sentence * 40)]):
        assert piece.text.startswith("The mattress")
        assert piece.text.endswith("years.")


def test_a_long_chinese_paragraph_is_split_between_sentences() -> None:
    pieces = list(
        split_blocks([Block("这款床垫采用天然乳胶，软硬适中。他问：“保修多久？”十年！" * 30)])
    )
    assert len(pieces) > 2
    for piece in pieces:
        assert piece.text.startswith(("这款", "他问", "十年"))
        assert piece.text.endswith(("中。", "？”", "年！"))
        assert 100 < len(piece.text) <= 330


def test_a_long_table_repeats_its_first_row() -> None:
    rows = ["Model | Size | Price", *(f"Cloud {n} | {n} x 200 | {n} euros" for n in range(100))]
    pieces = list(split_blocks([Block("\n".join(rows), "Prices", BlockKind.table)]))
    assert len(pieces) > 1
    assert all(piece.text.startswith("Model | Size | Price\nCloud") for piece in pieces)
    assert [line for piece in pieces for line in piece.text.split("\n")[1:]] == rows[1:]
