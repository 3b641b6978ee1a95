"""Exact facts: the numbers and the names of a text, which an answer keeps or loses.

chrF forgives a wrong digit; a customer who was told a wrong price does not.
"""

import re
import unicodedata

_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_NAME = re.compile(r"[A-Z][\w&'’-]*")
_LATIN = re.compile(r"[A-Za-z][A-Za-z0-9&'’-]+")
_QUOTED = re.compile(r"[《「『“\"]([^》」』”\"]{1,40})[》」』”\"]")
_HAN = re.compile(r"[㐀-鿿]")
_STARTS = re.compile(r"(?:^|[.!?:;。！？：；\n•*-]|\d[.)])\s*[\"“'(]*$")


def find_facts(text: str) -> frozenset[str]:
    """Numbers, names and quoted titles, each in one form.

    Names are capitalised words that do not begin a sentence, and in Chinese every Latin word.
    """
    text = unicodedata.normalize("NFKC", text)
    return find_numbers(text) | frozenset(name.casefold() for name in _names(text))


def find_numbers(text: str) -> frozenset[str]:
    """Numbers as they are read: 1,000 is 1000, 12.50 is 12.5, 10:00 and 2-3 stay."""
    plain = _THOUSANDS.sub("", unicodedata.normalize("NFKC", text))
    return frozenset(_plain(each) for each in _NUMBER.findall(plain))


def keep_facts(answer: str, reference: str, question: str = "") -> float | None:
    """The share of the reference's facts that an answer has, less what numbers it adds; 0 to 1.

    What the question says already is no news: to repeat it keeps nothing. A number that neither
    reference nor question has counts as one fact lost. None where there is no fact to keep.
    """
    wanted = find_facts(reference) - find_facts(question)
    if not wanted:
        return None
    added = find_numbers(answer) - find_numbers(reference) - find_numbers(question)
    return max(0.0, len(wanted & _all_words(answer)) - len(added)) / len(wanted)


def _names(text: str) -> list[str]:
    names = _QUOTED.findall(text)
    pattern = _LATIN if _HAN.search(text) else _NAME
    for match in pattern.finditer(text):
        starts = pattern is _NAME and _STARTS.search(text[: match.start()])
        if not starts and len(match[0]) > 1:
            names.append(match[0])
    return names


def _all_words(text: str) -> frozenset[str]:
    """What an answer says, so that a name at the start of its sentence counts as kept."""
    text = unicodedata.normalize("NFKC", text)
    words = (word.casefold() for word in re.findall(r"[\w&'’-]+", text))
    return find_facts(text) | frozenset(words)


def _plain(number: str) -> str:
    if re.fullmatch(r"\d+\.\d+", number):
        return number.rstrip("0").rstrip(".")
    return number.lstrip("0") or "0" if number.isdigit() else number
