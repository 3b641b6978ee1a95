"""Columns: which names say what, in tables and in the objects of JSON alike."""

from collections.abc import Iterable
from dataclasses import dataclass

from knowledge.columns import ANSWER_COLUMNS, QUESTION_COLUMNS

PROMPT, COMPLETION = "prompt", "completion"
_TEXT_ONLY = ("text", "content", "文本", "内容")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Where prompt and completion are found."""

    prompt: str | None
    """None: there is no prompt, only text to go on like."""
    completion: str
    extra: tuple[str, ...] = ()


def find_columns(
    names: Iterable[str], *, prompt: str | None = None, completion: str | None = None
) -> Columns | None:
    """The columns of prompt and completion, or None where they cannot be told.

    Args:
        prompt, completion: names that the person gave; they are looked for first.
    """
    all_names = list(names)
    by_name = {_fold(name): name for name in reversed(all_names)}
    asked = _choose(by_name, prompt, PROMPT, sorted(QUESTION_COLUMNS))
    answered = _choose(by_name, completion, COMPLETION, sorted(ANSWER_COLUMNS))
    if answered is None and asked is None:
        answered = next((by_name[name] for name in _TEXT_ONLY if name in by_name), None)
    if answered is None or (prompt is not None and asked is None):
        return None
    is_told = completion is not None or _fold(answered) in _TEXT_ONLY
    if asked is None and len(all_names) > 1 and not is_told:
        return None  # the prompt must be one of the others
    extra = tuple(name for name in all_names if name not in (asked, answered))
    return Columns(prompt=asked, completion=answered, extra=extra)


def _choose(
    by_name: dict[str, str], wanted: str | None, usual: str, others: list[str]
) -> str | None:
    if wanted is not None:
        return by_name.get(_fold(wanted))
    if usual in by_name:
        return by_name[usual]
    return next((by_name[name] for name in others if name in by_name), None)


def _fold(name: str) -> str:
    return name.strip(" :：?？\ufeff").casefold().replace("_", " ")
