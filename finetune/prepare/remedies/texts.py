"""Remedies that change the texts of pairs: case, separators, prefixes, endings, the first space.

They stand in the order of OpenAI's old `fine_tunes.prepare_data`, and suggest what it suggested.
Each text is looked at as it was before any of them.
"""

from finetune.prepare.affix import ENDINGS, LAST_ENDING, LAST_SEPARATOR, SEPARATORS
from finetune.prepare.errors import UselessDataError
from finetune.prepare.findings import Findings, Task
from finetune.prepare.remedies.remedy import Column, Effect, Remedy, Texts, shown, yes_or_no
from finetune.prepare.survey import Letters

LONG_PREFIX = 12
LONG_COMPLETION_PREFIX = 5


def lower_prompts(findings: Findings) -> Remedy | None:
    return _lower(findings, "prompt", findings.survey.prompt_letters)


def lower_completions(findings: Findings) -> Remedy | None:
    return _lower(findings, "completion", findings.survey.completion_letters)


def prompt_separator(findings: Findings) -> Remedy | None:
    """What shows the model where the prompt ends.

    Raises:
        UselessDataError: all prompts are the same.
    """
    if findings.task is Task.open_ended or findings.prompt_suffix:
        return None
    suffix = free_separator(findings)
    return Remedy(
        name="separator",
        title=f"Add a suffix separator `{shown(suffix)}` to all prompts",
        why="Prompts have no common end, so the model cannot see where the completion begins.",
        ways=yes_or_no(_effect("prompt", lambda texts: [text + suffix for text in texts])),
    )


def refuse_same_prompts(findings: Findings) -> None:
    """
    Raises:
        UselessDataError: all prompts are the same.
    """
    if findings.task is Task.open_ended or findings.count < 2 or findings.unique_prompts > 1:
        return
    raise UselessDataError(
        f"all prompts are the same: `{_beginning(findings.affixes.prompt.prefix)}`. Leave them "
        f"empty for open-ended generation, or see that they differ"
    )


def refuse_same_completions(findings: Findings) -> None:
    """
    Raises:
        UselessDataError: all completions are the same, and are no classes.
    """
    if findings.task is not Task.conditional or findings.count < 2:
        return
    if findings.unique_completions == 1:
        raise UselessDataError(
            f"all completions are the same: `{_beginning(findings.affixes.completion.prefix)}`. "
            f"See that they differ, or the model will say nothing else"
        )


def prompt_prefix(findings: Findings) -> Remedy | None:
    affix = findings.affixes.prompt
    prefix = affix.prefix
    if findings.unique_prompts < 2 or not LONG_PREFIX < len(prefix) < affix.shortest:
        return None
    return Remedy(
        name="prompt-prefix",
        title=f"Remove prefix `{shown(prefix)}` from all prompts",
        why="A tuned model needs no instruction that is always the same; it costs tokens only.",
        ways=yes_or_no(_effect("prompt", lambda texts: [text[len(prefix) :] for text in texts])),
    )


def completion_prefix(findings: Findings) -> Remedy | None:
    affix = findings.affixes.completion
    prefix = affix.prefix
    if findings.unique_completions < 2:
        return None
    if not LONG_COMPLETION_PREFIX <= len(prefix) < affix.shortest:
        return None
    space = " " if prefix.startswith(" ") else ""
    return Remedy(
        name="completion-prefix",
        title=f"Remove prefix `{shown(prefix)}` from all completions",
        why="What every completion begins with teaches nothing.",
        ways=yes_or_no(
            _effect("completion", lambda texts: [space + text[len(prefix) :] for text in texts])
        ),
    )


def completion_ending(findings: Findings) -> Remedy | None:
    """What tells the model to stop."""
    if findings.task is not Task.conditional or findings.completion_suffix:
        return None
    contained = findings.affixes.completion.contained
    ending = next((mark for mark in ENDINGS if mark not in contained), LAST_ENDING)
    return Remedy(
        name="ending",
        title=f"Add a suffix ending `{shown(ending)}` to all completions",
        why="Completions have no common end, so the model does not learn where to stop.",
        ways=yes_or_no(_effect("completion", lambda texts: [text + ending for text in texts])),
    )


def completion_space(findings: Findings) -> Remedy | None:
    if findings.affixes.completion.begins_with_space:
        return None
    return Remedy(
        name="space",
        title="Add a whitespace character to the beginning of the completion",
        why="Tokens of words begin with their space; a completion without one is read differently.",
        ways=yes_or_no(
            _effect(
                "completion",
                lambda texts: [text if text.startswith(" ") else f" {text}" for text in texts],
            )
        ),
    )


def free_separator(findings: Findings) -> str:
    """The first separator that stands in no prompt."""
    contained = findings.affixes.prompt.contained
    for separator in SEPARATORS:
        if separator in contained or (separator == SEPARATORS[0] and "\n" in contained):
            continue
        return separator
    return LAST_SEPARATOR


def _lower(findings: Findings, column: Column, letters: Letters) -> Remedy | None:
    if not findings.is_shouting(letters):
        return None
    return Remedy(
        name=f"lower-{column}",
        title=f"Lowercase all your data in column/key `{column}`",
        why=f"More than a third of the {column}s are in capitals, which models read worse than "
        f"ordinary text.",
        ways=yes_or_no(_effect(column, lambda texts: [text.lower() for text in texts])),
    )


def _effect(column: Column, change: Texts) -> Effect:
    return Effect(column=column, change=change)


def _beginning(text: str) -> str:
    return shown(text if len(text) <= 60 else f"{text[:60]}…")
