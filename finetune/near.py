"""Near: which questions are the same question in nearly the same words.

The similarity of two questions is the larger of two ratios of RapidFuzz, 0 to 1: of the texts as
they are, and of their words in alphabetical order. It does not see which word matters: "cash" and
"card" differ by little. So two questions that differ in a figure, or each have a word of their own
that is no typing error of the other's, ask for different things and are not near.

Measured on banking77 (`python -m bench near_duplicates`): from 0.85 on, 98 of 100 copies are found
that differ by a courtesy, a word more or less, a typing error or the order of words, and 93 of 100
pairs that are found among what people asked themselves have the same of 77 intents.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz, process

ROWS = 256
"""Questions compared with all others in one go: 256 x 40,000 figures are 40 MB."""
TYPING_ERROR = 75.0
"""From this ratio on two words may be one word, typed wrongly."""
_COURTESY = re.compile(
    r"\b(?:hi|hello|hey|dear|good (?:morning|afternoon|evening|day)|please|thanks|thank you|thx)\b"
    r"|你好|您好|请问|谢谢|麻烦|你们|我们|咱们|[的了吗呢啊吧呀]"
)
_TOKEN = re.compile(r"[⺀-鿿豈-﫿]|[^\W⺀-鿿豈-﫿]+")
_SAYS_NOTHING = frozenset(
    re.findall(
        r"[a-z]+|[⺀-鿿]",
        """
        a an the i my me mine we our us you your is are was be been am do does did have has had can
        could will would shall should may might must to of in on at for from by with about as it
        its this that these those there and or but so if then than not no yes please hi hello hey
        dear thanks thank just really actually today now again still also too very get got want
        need like know tell ask how what which who whom when where why s t m re ve ll d im ive id
        dont cant wont
        吗呢啊吧呀哦了的地得请问你您们我他她它是在有要想能可以会就都也还和跟对把给个这那么怎什哪里好谢一下
        """,
    )
)


def normalize(text: str) -> str:
    """The words alone: one form of each character, no case, no punctuation, single spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"[\W_]+", " ", folded).split())


def plainly(question: str) -> str:
    """The normalized question without courtesies and particles."""
    words = normalize(question)
    return " ".join(_COURTESY.sub(" ", words).split()) or words


def find_near(
    questions: Sequence[str], others: Sequence[str], least: float
) -> Iterator[tuple[int, int]]:
    """(place in `questions`, place in `others`) of one near other for each that has any.

    Takes about 9 s for 30 million pairs: call it in a thread.

    Args:
        least: the similarity from which on two questions are near, 0 to 1.
    """
    questions, others = [*map(plainly, questions)], [*map(plainly, others)]
    if not others:
        return
    for start in range(0, len(questions), ROWS):
        rows = questions[start : start + ROWS]
        similarities = _compare(rows, others, least)
        for row, place in enumerate(rows):
            candidates = np.flatnonzero(similarities[row])
            best_first = candidates[np.argsort(-similarities[row][candidates], kind="stable")]
            for other in best_first:
                if asks_the_same(place, others[other]):
                    yield start + row, int(other)
                    break


def similarity(one: str, other: str) -> float:
    """Of two plain questions, 0 to 1."""
    return max(fuzz.ratio(one, other), fuzz.token_sort_ratio(one, other)) / 100


def asks_the_same(one: str, other: str) -> bool:
    """Whether no figure differs, and at most one of the two has words of its own."""
    left, right = _TOKEN.findall(one), _TOKEN.findall(other)
    if _figures(left) != _figures(right):
        return False
    mine, yours = set(left) - set(right), set(right) - set(left)
    own = [word for word in mine if word not in _SAYS_NOTHING and not _is_typed_as(word, yours)]
    other_own = [
        word for word in yours if word not in _SAYS_NOTHING and not _is_typed_as(word, mine)
    ]
    return not (own and other_own)


def _compare(rows: Sequence[str], others: Sequence[str], least: float) -> NDArray[np.float32]:
    """Similarities of (rows, others), 0 where they are below `least`."""
    cutoff = least * 100
    as_they_are = process.cdist(rows, others, scorer=fuzz.ratio, score_cutoff=cutoff)
    in_order = process.cdist(rows, others, scorer=fuzz.token_sort_ratio, score_cutoff=cutoff)
    larger: NDArray[np.float32] = np.maximum(as_they_are, in_order)
    return larger


def _figures(tokens: Sequence[str]) -> list[str]:
    return sorted(token for token in tokens if any(map(str.isdigit, token)))


def _is_typed_as(word: str, others: set[str]) -> bool:
    """Whether one of the others is this word with an error, or another form of it."""
    return len(word) > 3 and any(fuzz.ratio(word, other) >= TYPING_ERROR for other in others)
