"""Examples that are longer than the model reads, counted by its own tokenizer.

A token has at least one byte, and a character at most four: what has few enough characters need
not be counted, so that a million short examples cost nothing here.
"""

from collections.abc import Iterable

import numpy as np

from finetune.prepare.batch import Batch, Kind
from finetune.prepare.findings import Findings
from finetune.prepare.remedies.remedy import NOTHING, Effect, Remedy
from finetune.prepare.remedies.rows import SHOWN
from finetune.prepare.shorten import Shortener
from finetune.prepare.survey import Mask


def overlong(
    findings: Findings, batches: Iterable[Batch], shortener: Shortener, model: str
) -> Remedy | None:
    """What to do with them is a choice; a preference can only be left out."""
    over = find_overlong(findings, batches, shortener)
    count = int(over.sum())
    if not count:
        return None
    ways = {
        "drop": Effect(drop=over),
        "truncate": Effect(shorten="truncate"),
        "split": Effect(shorten="split"),
        "keep": NOTHING,
    }
    if findings.kind is Kind.preference:
        ways = {"drop": ways["drop"], "keep": NOTHING}
    rows = np.flatnonzero(over)[:SHOWN].tolist()
    places = ", ".join(findings.survey.place_of(row) for row in rows)
    return Remedy(
        name="too-long",
        title=f"{count} examples are longer than the {shortener.limit:,} tokens that {model} reads",
        why=f"Trainers refuse them, or cut them where it hurts. The first are in {places}.",
        ways=ways,
        rows=rows,
    )


def find_overlong(findings: Findings, batches: Iterable[Batch], shortener: Shortener) -> Mask:
    """Counts those that may be too long, and no others."""
    may_be = findings.kept & (findings.survey.chars > shortener.limit // 8)
    over = np.zeros(len(findings.kept), dtype=np.bool_)
    if not may_be.any():
        return over
    first = 0
    for batch in batches:
        for place in np.flatnonzero(may_be[first : first + len(batch)]):
            over[first + place] = _tokens(batch, int(place), shortener) > shortener.limit
        first += len(batch)
    return over


def _tokens(batch: Batch, place: int, shortener: Shortener) -> int:
    prompt, completion = batch.prompts[place], batch.completions[place]
    if batch.lines is None:
        if len(prompt.encode()) + len(completion.encode()) <= shortener.limit:
            return 0
        return shortener.pair_tokens(prompt, completion)
    line = batch.lines[place]
    if "messages" in line:
        return shortener.chat_tokens(line["messages"])
    before = shortener.chat_tokens(line["input"]["messages"])
    answers = (line["preferred_output"], line["non_preferred_output"])
    return before + max(map(shortener.chat_tokens, answers))
