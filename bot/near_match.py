"""A near match: a question whose embedding is near an approved one, and whether it asks the same.

The cosine sees what questions are about, and hardly which word makes the difference: "Do you
deliver on Sundays?" is nearer to a question about Saturdays than most of its paraphrases are. So a
near match has to stand a second test, of words (docs/decisions/0028). What it refuses goes the
other ways, where the approved pair is part of the context.
"""

from collections.abc import Iterable, Sequence

from bot.agreement import measure_agreement
from bot.inquiry import Inquiry
from bot.sureness import BASE_SURE_AGREEMENT
from bot.telling_words import Telling, TellingWord, read_telling, said_in
from knowledge import Knowledge
from knowledge.retrieved import ApprovedMatch
from knowledge.words import same_words_key


async def find_difference(
    knowledge: Knowledge, inquiry: Inquiry, match: ApprovedMatch
) -> str | None:
    """What makes a question another one than the approved question it is near; none if nothing."""
    if _is_same(inquiry.question, match.question):
        return None
    phrasings = await knowledge.phrasings(
        match.answer, exclude_conversation=inquiry.exclude_conversation
    )
    return compare(inquiry.question, match.question, phrasings)


def repeats(answer: str, refused: str) -> bool:
    """Whether an answer says mostly what the approved reply says that was not taken.

    A model shown that reply may give it after all. It agrees with its context then, and is right or
    wrong as the reply would have been: unsure, for a person to see.
    """
    return measure_agreement(answer, [refused]) >= BASE_SURE_AGREEMENT


def compare(asked: str, approved: str, phrasings: Sequence[str]) -> str | None:
    """The difference, for a reviewer: `only the customer says 'sundays'`.

    Args:
        approved: the nearest approved question.
        phrasings: all the questions that have the same approved reply. The words of the reply
            itself do not count: with them no more paraphrases matched, and replies name much.
    """
    if _is_same(asked, approved):
        return None
    one, other = read_telling(asked), read_telling(approved)
    return (
        _added(_new(one, approved, phrasings))
        or _turned(one.negation, other.negation)
        or _left_out(_missing(asked, one, approved, other))
    )


def _is_same(asked: str, approved: str) -> bool:
    """The same text, whatever its case, punctuation and spaces."""
    one, other = same_words_key(asked), same_words_key(approved)
    return one.replace(" ", "") == other.replace(" ", "")


def _new(one: Telling, approved: str, phrasings: Sequence[str]) -> list[str]:
    """What no phrasing says. A number or a day is new where the nearest one does not say it:
    beside "Nobody is home from Monday to Friday" stands a reply about Saturdays."""
    nearest, known = said_in(approved), said_in(approved, *phrasings)
    return [w.word for w in one.words if not w.is_in(nearest if w.is_exact else known)]


def _turned(negation: str | None, approved: str | None) -> str | None:
    """One of the two is negated, and the other is not."""
    if negation and not approved:
        return _added([negation])
    return _left_out([approved]) if approved and not negation else None


def _missing(asked: str, one: Telling, approved: str, other: Telling) -> list[str]:
    """What the customer leaves out and makes the question a wider one.

    A number or a day always; another word only where the customer has none to stand for it.
    """
    missing = [word for word in other.words if not word.is_in(said_in(asked))]
    if _not_in((*one.words, *one.light), said_in(approved)):
        missing = [word for word in missing if word.is_exact]
    return [word.word for word in missing]


def _not_in(words: Iterable[TellingWord], said: frozenset[str]) -> list[str]:
    return [word.word for word in words if not word.is_in(said)]


def _added(words: Sequence[str]) -> str | None:
    return f"only the customer says {_quoted(words)}" if words else None


def _left_out(words: Sequence[str]) -> str | None:
    return f"the customer does not say {_quoted(words)}" if words else None


def _quoted(words: Sequence[str]) -> str:
    """Each once, and not all of a long message."""
    return ", ".join(map(repr, list(dict.fromkeys(words))[:4]))
