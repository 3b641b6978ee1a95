"""How far an answer agrees with what was retrieved."""

import re
from collections.abc import Iterable, Iterator

_TOKEN = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+")
_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]+")

# Words that say nothing about a fact; an answer made of them alone agrees with nothing.
_EMPTY_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a about also an and any are as at be been but by can could do does for from had has
        have he her here how i if in into is it its just may me might more most my no not of on
        one or our she should so some such than that the their them then there these they this
        to too us very was we were what when where which who will with would yes you your""",
    )
)


def measure_agreement(answer: str, texts: Iterable[str]) -> float:
    """The share of the answer's content tokens that the texts contain, 0 to 1.

    Tokens are numbers, words that carry content and, in Chinese, pairs of neighbouring
    characters, which need no dictionary. An answer without any agrees with nothing: 0.
    """
    said = list(content_tokens(answer))
    found = {token for text in texts for token in content_tokens(text)}
    return sum(token in found for token in said) / len(said) if said else 0.0


def content_tokens(text: str) -> Iterator[str]:
    """The tokens of a text that carry content, in order and with repeats."""
    for token in _TOKEN.findall(text.casefold()):
        if token[0].isdigit():
            yield token
        elif _HAN.search(token):
            yield from _han_pairs(token)
        elif len(token) > 1 and token not in _EMPTY_WORDS:
            yield token


def _han_pairs(token: str) -> Iterator[str]:
    for run in _HAN.findall(token):
        yield from (run[i : i + 2] for i in range(max(1, len(run) - 1)))
