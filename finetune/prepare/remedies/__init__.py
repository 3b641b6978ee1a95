"""Remedies, in the order in which OpenAI's old tool had them; what it lacked stands between."""

from collections.abc import Callable

from finetune.prepare.findings import Findings
from finetune.prepare.remedies.remedy import Effect, Remedy
from finetune.prepare.remedies.rows import (
    conflicts,
    duplicates,
    empty_completions,
    long_examples,
)
from finetune.prepare.remedies.texts import (
    completion_ending,
    completion_prefix,
    completion_space,
    lower_completions,
    lower_prompts,
    prompt_prefix,
    prompt_separator,
    refuse_same_completions,
    refuse_same_prompts,
)

Look = Callable[[Findings], Remedy | None]

ROWS: tuple[Look, ...] = (empty_completions, duplicates, conflicts, long_examples)
"""For every kind of example."""

TEXTS: tuple[Look, ...] = (
    lower_prompts,
    lower_completions,
    refuse_same_prompts,
    prompt_separator,
    prompt_prefix,
    completion_prefix,
    refuse_same_completions,
    completion_ending,
    completion_space,
)
"""For pairs only: chat models have their own marks between the turns."""

__all__ = ["ROWS", "TEXTS", "Effect", "Look", "Remedy"]
