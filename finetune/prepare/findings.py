"""Findings: the survey as it stands after what was decided so far."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

import numpy as np

from finetune.prepare.affix import ENDINGS, LAST_SEPARATOR, SEPARATORS
from finetune.prepare.batch import Kind
from finetune.prepare.hashes import count_distinct
from finetune.prepare.survey import MAX_CHARS, Affixes, Flag, Letters, Mask, Survey


class Task(StrEnum):
    """What the data seems to be for."""

    open_ended = "open-ended generation"  # there are no prompts
    classification = "classification"  # each completion comes three times and more
    conditional = "conditional generation"


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What remedies look at."""

    survey: Survey
    kind: Kind
    kept: Mask

    def without(self, dropped: Mask) -> Findings:
        """What is found when some more examples are left out."""
        return replace(self, kept=self.kept & ~dropped)

    @property
    def count(self) -> int:
        return int(self.kept.sum())

    @cached_property
    def is_long(self) -> Mask:
        mask: Mask = self.survey.chars > MAX_CHARS
        return mask & self.kept

    @cached_property
    def affixes(self) -> Affixes:
        """Of what is kept: long examples count only while they do."""
        short, long = self.survey.short, self.survey.long
        if not self.is_long.any():
            return short
        return Affixes(
            prompt=short.prompt.joined_with(long.prompt),
            completion=short.completion.joined_with(long.completion),
        )

    @cached_property
    def task(self) -> Task:
        if (self.survey.has(Flag.prompt_is_blank) | ~self.kept).all():
            return Task.open_ended
        if self.unique_completions < self.count / 3:
            return Task.classification
        return Task.conditional

    @cached_property
    def unique_prompts(self) -> int:
        return count_distinct(self.survey.prompt_hashes[self.kept])

    @cached_property
    def unique_completions(self) -> int:
        return count_distinct(self.survey.completion_hashes[self.kept])

    @property
    def prompt_suffix(self) -> str:
        """What all prompts end with; of a single one, the separator that it ends with."""
        affix = self.affixes.prompt
        if self.unique_prompts > 1:
            return affix.suffix
        ends = (mark for mark in (*SEPARATORS, LAST_SEPARATOR) if affix.suffix.endswith(mark))
        return max(ends, key=len, default="")

    @property
    def completion_suffix(self) -> str:
        """What all completions end with; of a single one, the ending that it has."""
        affix = self.affixes.completion
        if self.unique_completions > 1:
            return affix.suffix
        return next((mark for mark in ENDINGS if affix.suffix.endswith(mark)), "")

    def is_shouting(self, letters: Letters) -> bool:
        """Whether more than a third of the letters are capitals, in more than a third of the texts.

        The old tool counted letters alone, so that one long outlier could lower everything.
        """
        capitals = letters.capitals[self.kept].astype(np.int64)
        small = letters.small[self.kept].astype(np.int64)
        shouting = np.count_nonzero(capitals * 2 > small)
        lettered = np.count_nonzero(capitals + small)
        return bool(capitals.sum() * 2 > small.sum() and shouting * 3 > lettered)
