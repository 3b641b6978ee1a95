"""How far an answer agrees with what was retrieved, in English and Chinese."""

import pytest

from bot.agreement import measure_agreement


@pytest.mark.parametrize(
    ("answer", "text", "least", "most"),
    [
        ("Delivery takes 5 days.", "We say: delivery takes 5 days!", 1.0, 1.0),
        ("Delivery takes 9 days.", "Delivery takes 5 days.", 0.7, 0.8),
        ("Bananas are yellow.", "Delivery takes 5 days.", 0.0, 0.0),
        ("送货需要五天。", "我们送货需要五天时间。", 1.0, 1.0),
        ("香蕉是黄色的。", "送货需要五天。", 0.0, 0.1),
        ("It is, and so are we.", "It is, and so are we.", 0.0, 0.0),
        ("", "anything", 0.0, 0.0),
    ],
)
def test_agreement_is_the_share_of_content_that_was_retrieved(
    answer: str, text: str, least: float, most: float
) -> None:
    assert least <= measure_agreement(answer, ["Something else.", text]) <= most
