"""BM25 over chunks that come and go gives what BM25 over those that are there would."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge.lexical import K1, B, LexicalIndex
from knowledge.words import words_of

texts = st.text(alphabet="ab 床垫", min_size=0, max_size=30)


def bm25_by_the_book(query: str, chunks: dict[int, str]) -> dict[int, float]:
    counts = {chunk_id: Counter(words_of(text)) for chunk_id, text in chunks.items()}
    lengths = {chunk_id: max(count.total(), 1) for chunk_id, count in counts.items()}
    mean = sum(lengths.values()) / len(lengths)
    scores: dict[int, float] = {}
    for chunk_id, count in counts.items():
        for word in words_of(query):
            having = sum(word in other for other in counts.values())
            idf = math.log(1 + (len(chunks) - having + 0.5) / (having + 0.5))
            weight = K1 * (1 - B + B * lengths[chunk_id] / mean)
            score = idf * count[word] * (K1 + 1) / (count[word] + weight)
            scores[chunk_id] = scores.get(chunk_id, 0.0) + score
    return {chunk_id: score for chunk_id, score in scores.items() if score > 0}


@given(st.lists(texts, min_size=1, max_size=12), st.sets(st.integers(0, 11)), texts)
def test_scores_are_those_of_the_formula_after_any_removals(
    given_texts: list[str], removed: set[int], query: str
) -> None:
    index = LexicalIndex()
    chunks = dict(enumerate(given_texts))
    for chunk_id, text in chunks.items():
        index.add(chunk_id, text)
    for chunk_id in removed & chunks.keys():
        index.remove(chunk_id)
        del chunks[chunk_id]
    hits = {hit.chunk_id: hit.score for hit in index.search(query, 20)}
    assert hits == pytest.approx(bm25_by_the_book(query, chunks) if chunks else {}, rel=1e-4)
    assert index.ids == chunks.keys()
    assert index.sum_of_ids == sum(chunks)


def test_the_room_of_removed_chunks_is_used_again() -> None:
    index = LexicalIndex()
    for chunk_id in range(5000):
        index.add(chunk_id, f"chunk number{chunk_id} of many")
        if chunk_id >= 10:
            index.remove(chunk_id - 10)
    assert len(index) == 10
    assert len(index._ids) < 2000
    [hit] = index.search("number4995", 3)
    assert hit.chunk_id == 4995


def test_coverage_is_the_share_of_the_query_that_a_chunk_has() -> None:
    index = LexicalIndex()
    index.add(1, "delivery to Norway")
    index.add(2, "prices")
    [hit] = index.search("delivery Norway", 5)
    assert hit.coverage == pytest.approx(1.0)
    [hit] = index.search("prices Chile", 5)
    assert 0 < hit.coverage < 0.6
    assert index.search("the weather", 5) == []


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("We deliver to Norway", "DELIVERIES in norway?"),
        ("价格是３００元", "300"),
        ("可以开具增值税发票", "发票"),
        ("What's included?", "what’s INCLUDE"),
    ],
)
def test_words_are_found_in_other_forms_and_in_chinese(text: str, query: str) -> None:
    index = LexicalIndex()
    index.add(1, text)
    index.add(2, "完全无关 unrelated")
    assert [hit.chunk_id for hit in index.search(query, 5)] == [1]
