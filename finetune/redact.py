"""Redact: personal details become placeholders before anything leaves the store.

What is written in the shop's own documents (its telephone number, its address for returns) is
public and stays. Words that the shop names (a customer's name, a project's) are replaced as well.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from finetune.details import Detail, find_details


@dataclass(frozen=True)
class Redacted:
    """A text without personal details, and how many of each kind it had."""

    text: str
    found: Counter[str] = field(default_factory=Counter)


class Redactor:
    """Redacts the texts of one conversation: one detail has one placeholder in all of them.

    The first e-mail address is `[email]`, another one `[email-2]`; so it goes for phone, card,
    iban, id, address and word.
    """

    def __init__(self, *, public: frozenset[str] = frozenset(), words: Sequence[str] = ()) -> None:
        """`public` are details that may stay, as `find_public` gives them."""
        self.found: Counter[str] = Counter()
        self._public = public
        self._words = _as_pattern(words)
        self._names: dict[tuple[str, str], str] = {}
        self._counts: Counter[str] = Counter()

    def redact(self, text: str) -> str:
        """The text with placeholders; one that is redacted already stays as it is."""
        clean, done = [], 0
        for detail in self._details(text):
            clean += [text[done : detail.start], self._name(detail)]
            self.found[detail.kind] += 1
            done = detail.end
        return "".join([*clean, text[done:]])

    @property
    def distinct(self) -> Counter[str]:
        """How many different details of each kind were found so far."""
        return Counter(self._counts)

    def _details(self, text: str) -> list[Detail]:
        details = [detail for detail in find_details(text) if detail.value not in self._public]
        if self._words is not None:
            for match in self._words.finditer(text):
                word = Detail(match.start(), match.end(), "word", match[0].casefold())
                if not any(word.start < it.end and it.start < word.end for it in details):
                    details.append(word)
        return sorted(details)

    def _name(self, detail: Detail) -> str:
        key = (detail.kind, detail.value)
        if key not in self._names:
            self._counts[detail.kind] += 1
            count = self._counts[detail.kind]
            self._names[key] = f"[{detail.kind}-{count}]" if count > 1 else f"[{detail.kind}]"
        return self._names[key]


def redact(
    text: str, *, public: frozenset[str] = frozenset(), words: Sequence[str] = ()
) -> Redacted:
    """One text by itself; see `Redactor`."""
    redactor = Redactor(public=public, words=words)
    return Redacted(redactor.redact(text), redactor.found)


def find_public(texts: Iterable[str]) -> frozenset[str]:
    """Every detail in the texts, in the form that `public` of `Redactor` compares.

    Slow, about 5 ms for a kilobyte: call it in a thread.
    """
    return frozenset(detail.value for text in texts for detail in find_details(text))


def _as_pattern(words: Sequence[str]) -> re.Pattern[str] | None:
    """Whole words only, where the word is of Latin letters: Chinese knows no borders."""
    named = sorted({word.strip() for word in words if word.strip()}, key=len, reverse=True)
    if not named:
        return None
    return re.compile("|".join(map(_bounded, named)), re.IGNORECASE)


def _bounded(word: str) -> str:
    before = r"(?<!\w)" if word[0].isascii() else ""
    after = r"(?!\w)" if word[-1].isascii() else ""
    return f"{before}{re.escape(word)}{after}"
