import pytest

from knowledge.retrieved import title_of


@pytest.mark.parametrize(
    ("document", "heading", "title"),
    [
        ("Delivery", "Delivery > Saturdays", "Delivery > Saturdays"),
        ("delivery", "Delivery", "Delivery"),
        ("Delivery", "Saturdays", "Delivery > Saturdays"),
        ("Delivery", "Delivery times", "Delivery > Delivery times"),
        ("Delivery", "", "Delivery"),
        ("", "Delivery", "Delivery"),
    ],
)
def test_a_chunk_is_called_nothing_twice(document: str, heading: str, title: str) -> None:
    assert title_of(document, heading) == title
