"""The verdict: from the answers of an evaluation to thresholds, a scoreboard and a decision.

The gate compares what customers would get, so both arms answer in auto mode. Where either arm sent
an approved reply word for word, no model spoke: such questions say nothing of the candidate, and
would hide it behind what people wrote. They are left out of the comparison, not of the scoreboard.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from finetune.gate import Compared
from finetune.questions import CANDIDATE, FEW_SHOT, JUDGE, LIVE, LIVE_OFF_TOPIC, OFF_TOPIC
from finetune.scores import MEASURES, main_script
from finetune.threshold import OFF_TOPIC_COST, Sign, Threshold, fit_threshold
from store import Conversation, EvaluationItem, Example, Mode, Review, Run, Split, Way

Answers = dict[tuple[str, str], dict[int, EvaluationItem]]
"""By arm and mode, then by item."""
SCOREBOARD = {
    "base": (LIVE, Mode.base),
    "few-shot": (FEW_SHOT, Mode.base),
    "retrieval": (LIVE, Mode.retrieval),
    "tuned": (CANDIDATE, Mode.tuned),
    "hybrid": (CANDIDATE, Mode.hybrid),
    "auto": (CANDIDATE, Mode.auto),
    "live auto": (LIVE, Mode.auto),
}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a question of the hold-out comes from."""

    conversation_id: str
    slices: frozenset[str]
    """tag:refund, channel:web, script:latin."""


async def read_answers(session: AsyncSession, run: Run) -> Answers:
    rows = await session.scalars(
        select(EvaluationItem).where(EvaluationItem.run_id == run.id).order_by(EvaluationItem.item)
    )
    answers: Answers = defaultdict(dict)
    for row in rows:
        answers[row.arm, row.mode][row.item] = row
    return answers


async def read_origins(session: AsyncSession, run: Run) -> dict[int, Origin]:
    """By item."""
    rows = await session.execute(
        select(Example.seq, Example.question, Example.conversation_id, Conversation, Review.tags)
        .outerjoin(Conversation, Conversation.id == Example.conversation_id)
        .outerjoin(Review, Review.reply_id == Example.reply_id)
        .where(Example.dataset_id == run.dataset_id, Example.split == Split.holdout)
    )
    return {
        seq: Origin(
            conversation_id=conversation_id,
            slices=frozenset(_slices(question, conversation, tags or ())),
        )
        for seq, question, conversation_id, conversation, tags in rows
    }


def fit(answers: Answers) -> Threshold:
    """The threshold of "sure", from the candidate's answers with context.

    An answer without any context is left out: auto mode says "I don't know" before it is asked.
    """
    instead = answers[LIVE, Mode.retrieval]
    hybrid = answers[CANDIDATE, Mode.hybrid]
    signs = [
        _sign(row, row.scores["chrf"] - instead[item].scores["chrf"])
        for item, row in hybrid.items()
        if item in instead
    ]
    signs += [_sign(row, -OFF_TOPIC_COST) for row in answers[OFF_TOPIC, Mode.hybrid].values()]
    return fit_threshold([sign for sign in signs if sign.agreement is not None])


def compare(answers: Answers, origins: Mapping[int, Origin]) -> list[Compared]:
    """What both arms scored on each question where a model may have spoken."""
    judged = answers[JUDGE, Mode.auto]
    live, candidate = answers[LIVE, Mode.auto], answers[CANDIDATE, Mode.auto]
    compared = [
        Compared(
            conversation_id=origins[item].conversation_id,
            live=live[item].scores,
            candidate=candidate[item].scores,
            slices=origins[item].slices,
            preference=judged[item].scores["preference"] if item in judged else None,
        )
        for item in candidate
        if item in live and is_open(live[item], candidate[item])
    ]
    before, after = answers[LIVE_OFF_TOPIC, Mode.auto], answers[OFF_TOPIC, Mode.auto]
    return compared + [
        Compared(
            conversation_id=f"off topic {item}",
            live=before[item].scores,
            candidate=after[item].scores,
        )
        for item in after
        if item in before
    ]


def is_open(live: EvaluationItem, candidate: EvaluationItem) -> bool:
    """Whether a pair of answers says anything of the candidate."""
    return Way.approved not in (live.way, candidate.way)


def tally(answers: Answers) -> dict[str, Any]:
    """The scoreboard: for each mode the mean scores, and what its answers cost."""
    return {
        name: _summarize(list(answers[arm, mode].values()))
        for name, (arm, mode) in SCOREBOARD.items()
        if answers[arm, mode]
    }


def _summarize(rows: Sequence[EvaluationItem]) -> dict[str, Any]:
    ways: dict[str, int] = defaultdict(int)
    for row in rows:
        ways[row.way] += 1
    return {
        "items": len(rows),
        **{name: _mean(rows, name) for name in MEASURES},
        "median_ms": round(median(row.total_ms or 0.0 for row in rows)),
        "prompt_tokens": sum(row.prompt_tokens or 0 for row in rows),
        "completion_tokens": sum(row.completion_tokens or 0 for row in rows),
        "ways": dict(ways),
    }


def _mean(rows: Sequence[EvaluationItem], measure: str) -> float | None:
    """None where the measure applies to no answer."""
    values = [row.scores[measure] for row in rows if row.scores.get(measure) is not None]
    return round(fmean(values), 2 if measure == "chrf" else 4) if values else None


def _slices(question: str, conversation: Conversation | None, tags: Sequence[str]) -> Iterator[str]:
    yield from (f"tag:{tag}" for tag in tags)
    if conversation is not None:
        yield f"channel:{conversation.channel}"
    if script := main_script(question):
        yield f"script:{script.lower()}"


def _sign(row: EvaluationItem, gain: float) -> Sign:
    return Sign(
        mean_logprob=row.scores.get("mean_logprob"),
        agreement=row.scores.get("agreement"),
        gain=gain,
    )
