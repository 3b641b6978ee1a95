"""Refusals: whether an answer says that it has none."""

import re

from bot.phrases import Phrase

_SAYS_SO = re.compile(
    r"""
    \b(?:i|we)\s+(?:really\s+|just\s+)?
        (?:do\ not|don['’]?t|cannot|can\ not|can['’]?t|(?:am|are)\ not\ able\ to)\s+
        (?:know|say|tell|answer|help|have\ (?:an?\ answer|(?:any|that|this|enough)\ information))
    | \bi(?:\ am|['’]m)\s+(?:not\ sure|unable|afraid\ i)
    | \b(?:i|we)\s+have\s+no\s+(?:answer|information|idea)
    | \bno\s+information\s+(?:about|on)\b
    | \bask\s+(?:a|one\ of\ our)\s+colleagues?
    | (?:我|我们)?(?:不知道|不清楚|不太清楚|不确定|不了解|没有(?:相关|这方面的)信息)
    | (?:无法|不能|没法)(?:回答|提供|解答|帮助|确认)
    | (?:请|已请)(?:人工|同事)
    """,
    re.IGNORECASE | re.VERBOSE,
)


def is_refusal(text: str) -> bool:
    """Whether a text admits that it does not answer, in English or Chinese."""
    return text.strip() in Phrase.unknown.value or _SAYS_SO.search(text) is not None
