"""Remedies that leave rows out: empty, duplicate, conflicting and long ones."""

import numpy as np
import numpy.typing as npt

from finetune.prepare.batch import Kind
from finetune.prepare.findings import Findings, Task
from finetune.prepare.hashes import count_distinct, find_repeated, is_among
from finetune.prepare.remedies.remedy import NOTHING, Effect, Remedy, yes_or_no
from finetune.prepare.survey import MAX_CHARS, Flag, Mask

SHOWN = 5


def empty_completions(findings: Findings) -> Remedy | None:
    """Nothing can be learnt from them. `NA`, `null` and `None` are answers, and stay."""
    empty = findings.survey.has(Flag.empty) & findings.kept
    count = int(empty.sum())
    if not count:
        return None
    return Remedy(
        name="empty",
        title=f"Remove {count} rows with empty completions",
        why=f"{_rows_have(findings, empty)} no completion.",
        ways={"yes": Effect(drop=empty)},
        is_necessary=True,
        rows=_some(empty),
    )


def duplicates(findings: Findings) -> Remedy | None:
    """The first of the same rows stays."""
    repeated = find_repeated(findings.survey.keys, findings.kept)
    count = int(repeated.sum())
    if not count:
        return None
    return Remedy(
        name="duplicates",
        title=f"Remove {count} duplicate rows",
        why=f"{_rows_have(findings, repeated)} the same prompt and completion as an earlier row.",
        ways=yes_or_no(Effect(drop=repeated)),
        rows=_some(repeated),
    )


def conflicts(findings: Findings) -> Remedy | None:
    """Several answers to one prompt: which is right, only a person knows."""
    if findings.kind is Kind.preference:
        return None  # several judgements of one question are what preferences are
    conflicting = find_conflicts(findings)
    if not conflicting.any():
        return None
    prompts = findings.survey.prompt_hashes
    groups = count_distinct(prompts[conflicting])
    return Remedy(
        name="conflicts",
        title=f"{groups} prompts have different completions, {int(conflicting.sum())} rows in all",
        why=f"{_rows(findings, conflicting)} ask the same and answer differently; a model "
        f"learns to answer either way.",
        ways={
            "keep": NOTHING,
            "first": Effect(drop=find_repeated(prompts, conflicting)),
            "last": Effect(drop=find_repeated(prompts[::-1], conflicting[::-1])[::-1]),
            "drop": Effect(drop=conflicting),
        },
        rows=_in_groups(prompts, conflicting),
    )


def long_examples(findings: Findings) -> Remedy | None:
    """By characters, as the old tool had it; by tokens, see `overlong`."""
    is_long = findings.is_long
    count = int(is_long.sum())
    if not count or findings.task is Task.open_ended:
        return None
    return Remedy(
        name="long",
        title=f"Remove {count} long examples",
        why=f"{_rows_have(findings, is_long)} more than {MAX_CHARS:,} characters.",
        ways=yes_or_no(Effect(drop=is_long)),
        rows=_some(is_long),
    )


def find_conflicts(findings: Findings) -> Mask:
    """All rows of each prompt that has more than one completion."""
    survey = findings.survey
    asked = findings.kept & ~survey.has(Flag.prompt_is_blank)
    different = asked & ~find_repeated(survey.keys, asked)
    again = find_repeated(survey.prompt_hashes, different)
    if not again.any():
        return again
    return asked & is_among(survey.prompt_hashes, np.sort(survey.prompt_hashes[again]))


def _in_groups(hashes: npt.NDArray[np.int64], mask: Mask) -> list[int]:
    """Rows of the first few groups, those of one together."""
    rows = np.flatnonzero(mask)
    groups = list(dict.fromkeys(hashes[rows[: SHOWN * 20]].tolist()))[:SHOWN]
    picked: list[int] = []
    for group in groups:
        picked += rows[hashes[rows] == group][:2].tolist()
    return picked


def _some(mask: Mask) -> list[int]:
    rows: list[int] = np.flatnonzero(mask)[:SHOWN].tolist()
    return rows


def _rows_have(findings: Findings, mask: Mask) -> str:
    return f"{_rows(findings, mask)} {'has' if int(mask.sum()) == 1 else 'have'}"


def _rows(findings: Findings, mask: Mask) -> str:
    """`Line 3, line 7 and 12 more`."""
    rows = np.flatnonzero(mask)
    named = ", ".join(findings.survey.place_of(int(row)) for row in rows[:SHOWN])
    more = len(rows) - SHOWN
    said = f"{named} and {more:,} more" if more > 0 else named
    return said[:1].upper() + said[1:]
