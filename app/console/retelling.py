"""Retelling: what runs, gates and canaries wrote down in English, in the user's language.

A stored sentence keeps its numbers and names; its form is looked up in retold.json. What has no
form there, such as a provider's own words, stays as it is.
"""

import json
import re
from functools import cache
from pathlib import Path

from app.console.words import CHINESE, Language

_BLANK = re.compile(r"\{(\w+)\}")
_NESTED = ("why", "said", "words", "state", "measure", "mode", "verdict")
"""Blanks that hold what has a Chinese form itself; the others are names and numbers."""
_MOST_PARTS = 40
"""What has more was written by somebody else: to try all of them in a row would take seconds."""
_SENTENCES = ("why", "said", "message")
"""Blanks that may hold more than one sentence."""


def retell(language: Language, told: str) -> str:
    """A stored sentence, or several with a semicolon between."""
    return _in_chinese(told) if language is Language.zh else told


def find_form(sentence: str) -> tuple[str, dict[str, str]] | None:
    """Its Chinese form, and what stands in the blanks."""
    for pattern, form in _forms():
        if found := pattern.fullmatch(sentence):
            return form, found.groupdict()
    return None


def _in_chinese(told: str) -> str:
    if told in CHINESE:
        return CHINESE[told]
    parts, said, start = told.split("; "), [], 0
    if len(parts) > _MOST_PARTS:
        return told
    while start < len(parts):
        for end in range(len(parts), start, -1):  # a form may have a semicolon of its own
            if known := find_form("; ".join(parts[start:end])):
                said.append(_fill(*known))
                break
        else:
            end = start + 1
            said.append(parts[start])
        start = end
    return "；".join(said) if said != parts else told


def _fill(form: str, blanks: dict[str, str]) -> str:
    return form.format(
        **{name: _in_chinese(held) if name in _NESTED else held for name, held in blanks.items()}
    )


@cache
def _forms() -> list[tuple[re.Pattern[str], str]]:
    """The longest first: they say most about what they fit."""
    forms = json.loads(Path(__file__).with_name("retold.json").read_text(encoding="utf-8"))
    return [(_pattern_of(form), forms[form]) for form in sorted(forms, key=len, reverse=True)]


def _pattern_of(form: str) -> re.Pattern[str]:
    texts = _BLANK.split(form)  # text, name, text, name, ..., text
    return re.compile(
        "".join(_blank(each) if place % 2 else re.escape(each) for place, each in enumerate(texts)),
        re.DOTALL,
    )


def _blank(name: str) -> str:
    return f"(?P<{name}>{'.' if name in _SENTENCES else '[^;]'}+?)"
