"""The plan: which remedies are applied, decided one question after the other."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from finetune.prepare.batch import Kind
from finetune.prepare.errors import NothingPreparedError
from finetune.prepare.findings import Findings, Task
from finetune.prepare.hashes import find_repeated
from finetune.prepare.near import NearDuplicates, find_near
from finetune.prepare.options import Limits
from finetune.prepare.reading import Reading
from finetune.prepare.remedies import ROWS, TEXTS, Effect, Remedy
from finetune.prepare.remedies.near_duplicates import near_duplicates
from finetune.prepare.remedies.overlong import overlong
from finetune.prepare.remedies.remedy import NOTHING, Column, Texts
from finetune.prepare.shorten import Shortener, TooLong
from finetune.prepare.survey import Mask
from finetune.prepare.tokens import load_tokenizer

MAX_VALID = 1000
"""More are not needed to see how a classifier does; the old tool's number."""
TRAIN_SHARE = 0.8

Ask = Callable[[Remedy], str]
"""Answers a remedy with one of its ways."""


def accept_all(remedy: Remedy) -> str:
    """What `-q` answers."""
    return remedy.recommended


@dataclass(kw_only=True)
class Plan:
    """What the second pass does."""

    kept: Mask
    task: Task
    changes: list[tuple[Column, Texts]] = field(default_factory=list)
    too_long: TooLong = "keep"
    shortener: Shortener
    decided: list[tuple[Remedy, str]] = field(default_factory=list)
    """Every remedy, with what was answered."""
    near: NearDuplicates | None = None
    is_split: bool = False
    """Into files to train on and to validate with."""

    @property
    def changes_anything(self) -> bool:
        return any(remedy.ways[answer] is not NOTHING for remedy, answer in self.decided)


def decide(reading: Reading, limits: Limits, ask: Ask = accept_all) -> Plan:
    """Look for what is wrong, and ask what to do about it.

    Raises:
        NothingPreparedError: no example was read, or none would be left.
        UselessDataError: nothing can be learnt from the examples.
        NoTokenizerError: the model's tokenizer is not on this machine.
    """
    if not len(reading.survey):
        raise NothingPreparedError(_say_why_nothing(reading))
    findings = Findings(
        survey=reading.survey,
        kind=reading.kind,
        kept=np.ones(len(reading.survey), dtype=np.bool_),
    )
    shortener = Shortener(load=partial(load_tokenizer, limits.tokenizer), limit=limits.tokens)
    plan = Plan(kept=findings.kept, task=findings.task, shortener=shortener)
    for look in ROWS:
        findings = _apply(look(findings), ask, findings, plan)
    once = findings.kept & ~find_repeated(reading.survey.keys, findings.kept)
    plan.near = find_near(reading.survey.signatures, once)
    findings = _apply(near_duplicates(findings, plan.near), ask, findings, plan)
    remedy = overlong(findings, reading.spill, shortener, limits.model)
    findings = _apply(remedy, ask, findings, plan)
    plan.kept, plan.task = findings.kept, findings.task
    if reading.kind is Kind.pair:
        for look in TEXTS:
            _apply(look(findings), ask, findings, plan)
        if plan.task is Task.classification:
            _apply(_split_classes(), ask, findings, plan)
    return plan


def _apply(remedy: Remedy | None, ask: Ask, findings: Findings, plan: Plan) -> Findings:
    """What is found after the answer."""
    if remedy is None:
        return findings
    answer = remedy.recommended if remedy.is_necessary else ask(remedy)
    effect = remedy.ways[answer]
    if effect.drop is not None:
        findings = findings.without(effect.drop)
        if not findings.kept.any():
            raise NothingPreparedError(f"{remedy.title}: then none is left")
    if effect.change is not None:
        plan.changes.append((effect.column, effect.change))
    if effect.shorten is not None:
        plan.too_long = effect.shorten
    if remedy.name == "split":
        plan.is_split = answer == "yes"
    plan.decided.append((remedy, answer))
    return findings


def _split_classes() -> Remedy:
    return Remedy(
        name="split",
        title="Split into training and validation set",
        why="The completions look like classes; how well they are told apart is seen on examples "
        "that were not trained on.",
        ways={"yes": Effect(), "no": NOTHING},
    )


def _say_why_nothing(reading: Reading) -> str:
    if reading.complaints.count:
        return f"no example could be read; {reading.complaints.kept[0]}"
    return "no example could be read: there are only blank lines"
