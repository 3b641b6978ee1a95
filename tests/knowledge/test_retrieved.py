import pytest

from knowledge.retrieved import Retrieved
from store import ChunkKind


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("Delivery > Delivery > Saturdays", "Delivery > Saturdays"),
        ("Delivery > Delivery", "Delivery"),
        ("Delivery > Saturdays", "Delivery > Saturdays"),
        ("Delivery", "Delivery"),
    ],
)
def test_a_source_says_no_title_twice(title: str, shown: str) -> None:
    chunk = Retrieved(
        chunk_id=1, document_id=1, kind=ChunkKind.passage, title=title, source="delivery.md",
        text="We deliver.", question=None, reply_id=None, score=1.0, similarity=0.9, coverage=1.0,
    )  # fmt: skip
    assert chunk.as_source()["title"] == shown
