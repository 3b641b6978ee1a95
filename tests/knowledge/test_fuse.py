"""What stands high in both rankings stands highest."""

from hypothesis import given
from hypothesis import strategies as st

from knowledge.fuse import fuse


def test_what_both_rankings_name_comes_before_what_one_names() -> None:
    assert list(fuse([(1.0, [1, 2, 3]), (1.0, [4, 2, 5])])) == [2, 1, 4, 3, 5]


def test_a_heavier_ranking_counts_for_more() -> None:
    assert list(fuse([(1.0, [1]), (2.0, [2])])) == [2, 1]


@given(st.lists(st.integers(0, 50), unique=True))
def test_one_ranking_alone_stays_as_it_is(ranking: list[int]) -> None:
    assert list(fuse([(1.0, ranking), (1.0, [])])) == ranking
