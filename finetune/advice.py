"""Advice: is tuning worth it here, or are examples in the prompt, or looking up, enough?

The last evaluation has asked the same held-out questions in every mode. The cheaper way wins unless
the dearer one is better beyond doubt: tuning has to be trained, kept and trained again, looking up
costs prompt tokens, and a few examples in the prompt cost next to nothing.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from finetune.gate import Compared, measure
from finetune.interval import Interval
from finetune.verdict import SCOREBOARD, Answers, Origin, read_answers, read_origins, tally
from store import Database, EvaluationItem, Run

WAYS = {
    "base": "the base model with your prompt alone",
    "few-shot": "the base model with three approved examples in its prompt",
    "retrieval": "the base model with what it can look up",
    "tuned": "the tuned model alone",
    "hybrid": "the tuned model with what it can look up",
}
"""From the cheapest to the dearest."""
NEEDS = {
    "base": "Neither documents nor training are needed: write a good prompt (a mask).",
    "few-shot": "Put a few approved replies into the mask's few-shot turns; train when they fail.",
    "retrieval": "Keep documents and approved replies up to date; tuning adds too little yet.",
    "tuned": "Tuning pays, and looking up adds nothing to it: mode tuned saves its prompt tokens.",
    "hybrid": "Tuning pays on top of looking up: keep mode auto, or hybrid, and retrain.",
}


class NoEvaluationError(ValueError):
    """Nothing has been measured yet; says how to."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One way held against the best of the cheaper ones."""

    way: str
    against: str
    gain: Interval
    """chrF points."""
    facts: Interval | None
    """Exact facts kept, 0 to 1; none where no answer has any."""
    is_worth_it: bool
    """Better in words beyond doubt, and not beyond doubt worse in numbers and names."""
    tokens: float
    """More (or fewer) tokens an answer than the other way."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The way that is worth its price here, and how that was found."""

    run: Run
    best: str
    steps: list[Step]
    scoreboard: dict[str, Any]
    conversations: int

    @property
    def is_tuning_worth_it(self) -> bool:
        return self.best in ("tuned", "hybrid")

    @property
    def summary(self) -> str:
        worth = "Tuning is worth it here" if self.is_tuning_worth_it else "Tuning is not worth it"
        return f"{worth}: {WAYS[self.best]} is enough. {NEEDS[self.best]}"

    @property
    def caveat(self) -> str | None:
        if self.conversations >= 50:
            return None
        return (
            f"Only {self.conversations} held-out conversations were asked; approve replies of more "
            f"(50 at least, 150 are better) before you rely on it."
        )


async def advise(database: Database, confidence: float) -> Advice:
    """From the last run whose evaluation is complete.

    Raises:
        NoEvaluationError: there is none.
    """
    async with database.read() as session:
        run = await _last_evaluated(session)
        answers = await read_answers(session, run) if run else {}
        origins = await read_origins(session, run) if run else {}
    if run is None:
        raise NoEvaluationError(
            "nothing has been measured yet: `nod retrain` trains once and asks the held-out "
            "questions in every mode; on this machine it costs nothing but time"
        )
    return await asyncio.to_thread(weigh_ways, run, answers, origins, confidence)


def weigh_ways(
    run: Run, answers: Answers, origins: Mapping[int, Origin], confidence: float
) -> Advice:
    """Walk from the cheapest way to the dearest; stay where more is not better beyond doubt."""
    rows = {way: answers[SCOREBOARD[way]] for way in WAYS if answers[SCOREBOARD[way]]}
    best, *dearer = rows
    steps = []
    for way in dearer:
        compared = _compare(rows[way], rows[best], origins)
        gain = measure(compared, "chrf", confidence)
        facts = measure(compared, "facts", confidence)
        if gain is None:
            continue
        tokens = _tokens(list(rows[way].values())) - _tokens(list(rows[best].values()))
        is_worth_it = gain.low > 0 and (facts is None or facts.high >= 0)
        step = Step(
            way=way, against=best, gain=gain, facts=facts, is_worth_it=is_worth_it, tokens=tokens
        )
        steps.append(step)
        best = way if is_worth_it else best
    return Advice(
        run=run,
        best=best,
        steps=steps,
        scoreboard=tally(answers),
        conversations=len({origin.conversation_id for origin in origins.values()}),
    )


async def _last_evaluated(session: AsyncSession) -> Run | None:
    """With every mode answered: its verdict has a scoreboard."""
    evaluated = select(EvaluationItem.run_id).distinct()
    runs = await session.scalars(
        select(Run).where(~Run.is_active, Run.id.in_(evaluated)).order_by(Run.id.desc()).limit(20)
    )
    return next((run for run in runs if run.verdict.get("scoreboard")), None)


def _compare(
    ours: Mapping[int, EvaluationItem],
    theirs: Mapping[int, EvaluationItem],
    origins: Mapping[int, Origin],
) -> list[Compared]:
    return [
        Compared(
            conversation_id=origins[item].conversation_id,
            live=theirs[item].scores,
            candidate=ours[item].scores,
        )
        for item in ours
        if item in theirs and item in origins
    ]


def _tokens(rows: Sequence[EvaluationItem]) -> float:
    """Of an answer, prompt and all."""
    total = sum((row.prompt_tokens or 0) + (row.completion_tokens or 0) for row in rows)
    return total / len(rows)
