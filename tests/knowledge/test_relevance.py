"""A near chunk is relevant, a far one is not, and words decide where there is no cosine."""

from dataclasses import replace

import pytest

from knowledge import Knowledge, Retrieved
from knowledge.relevance import is_relevant
from store import ChunkKind
from tests.knowledge.conftest import MODEL, Approve
from tests.knowledge.embedding_endpoint import EmbeddingEndpoint

PASSAGE = Retrieved(
    chunk_id=1,
    document_id=1,
    kind=ChunkKind.passage,
    title="Delivery",
    source="delivery.md",
    text="We deliver free of charge.",
    score=0.03,
    similarity=0.85,
)
PAIR = replace(PASSAGE, kind=ChunkKind.pair, question="Is delivery free?")


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        (PASSAGE, True),
        (replace(PASSAGE, similarity=0.83), False),
        (replace(PASSAGE, similarity=0.83, coverage=0.9), True),
        (replace(PASSAGE, text="全国免费送货。"), False),
        (PAIR, False),
        (replace(PAIR, similarity=0.87), True),
        (replace(PAIR, similarity=0.87, question="送货免费吗？"), False),
        (replace(PASSAGE, similarity=None, coverage=0.4), True),
        (replace(PASSAGE, similarity=None, coverage=0.2), False),
    ],
)
def test_a_chunk_is_relevant_from_the_threshold_of_its_kind(
    chunk: Retrieved, expected: bool
) -> None:
    assert is_relevant([chunk], f"intfloat/{MODEL}") is expected


def test_for_a_model_without_thresholds_the_words_decide() -> None:
    assert not is_relevant([replace(PASSAGE, similarity=0.99)], "some-model")
    assert is_relevant([PASSAGE, replace(PASSAGE, similarity=0.1, coverage=0.5)], "some-model")


async def test_an_off_topic_question_finds_nothing_relevant(
    knowledge: Knowledge, approve: Approve, endpoint: EmbeddingEndpoint
) -> None:
    await knowledge.learn(await approve("How long is delivery?", "Three to five days."))
    assert not knowledge.is_relevant(await knowledge.retrieve("Who won the world cup?"))
    assert knowledge.is_relevant(await knowledge.retrieve("how long is the delivery"))
    endpoint.is_down = True
    assert knowledge.is_relevant(await knowledge.retrieve("delivery, how long?"))
    assert not knowledge.is_relevant([])
