"""What the console says: the English sentence is the key, zh.json has the Chinese one."""

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path


class Language(StrEnum):
    """A language that the console speaks."""

    en = "en"
    zh = "zh"


def choose_language(headers: Mapping[str, str], cookies: Mapping[str, str]) -> Language:
    """The user's choice, else what the browser asks for first."""
    if (chosen := cookies.get("nod_language")) in set(Language):
        return Language(chosen)
    asked = headers.get("accept-language", "").strip().lower()
    return Language.zh if asked.startswith("zh") else Language.en


def translate(language: Language, english: str) -> str:
    """The sentence in that language; one without a translation stays English.

    The names of states, as the store has them, read `hold unsure` rather than `hold_unsure`.
    """
    said = CHINESE.get(english, english) if language is Language.zh else english
    return said.replace("_", " ") if said.isidentifier() else said


CHINESE: dict[str, str] = json.loads(
    (Path(__file__).parent / "zh.json").read_text(encoding="utf-8")
)
