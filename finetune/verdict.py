"""The verdict: from the answers of an evaluation to thresholds, a scoreboard and a decision.

The gate compares what customers would get, so both arms answer in auto mode. Where either arm sent
an approved reply word for word, no model spoke: such questions say nothing of the candidate, and
would hide it behind what people wrote. They are left out of the comparison, not of the scoreboard.
"""

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean, median
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from finetune.evaluate import CANDIDATE, LIVE, OFF_TOPIC
from finetune.gate import Compared, Decision, GateOptions, decide
from finetune.threshold import OFF_TOPIC_COST, Sign, Threshold, fit_threshold
from store import EvaluationItem, Example, Mode, Run, Split, Way

Answers = dict[tuple[str, str], dict[int, EvaluationItem]]
"""By arm and mode, then by item."""
SCOREBOARD = {
    "base": (LIVE, Mode.base),
    "retrieval": (LIVE, Mode.retrieval),
    "tuned": (CANDIDATE, Mode.tuned),
    "hybrid": (CANDIDATE, Mode.hybrid),
    "auto": (CANDIDATE, Mode.auto),
    "live auto": (LIVE, Mode.auto),
}


async def read_answers(session: AsyncSession, run: Run) -> Answers:
    rows = await session.scalars(
        select(EvaluationItem).where(EvaluationItem.run_id == run.id).order_by(EvaluationItem.item)
    )
    answers: Answers = defaultdict(dict)
    for row in rows:
        answers[row.arm, row.mode][row.item] = row
    return answers


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


async def weigh(
    session: AsyncSession, run: Run, answers: Answers, options: GateOptions
) -> Decision:
    """The gate's decision on what both arms answered in auto mode."""
    rows = await session.execute(
        select(Example.seq, Example.conversation_id).where(
            Example.dataset_id == run.dataset_id, Example.split == Split.holdout
        )
    )
    conversation_of = {seq: conversation_id for seq, conversation_id in rows}  # noqa: C416
    live, candidate = answers[LIVE, Mode.auto], answers[CANDIDATE, Mode.auto]
    pairs = [(item, live[item], candidate[item]) for item in candidate if item in live]
    compared = [
        Compared(
            conversation_id=conversation_of[item],
            live_chrf=before.scores["chrf"],
            candidate_chrf=after.scores["chrf"],
            live_similarity=before.scores["similarity"],
            candidate_similarity=after.scores["similarity"],
        )
        for item, before, after in pairs
        if Way.approved not in (before.way, after.way)
    ]
    return decide(compared, options)


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
        "chrf": round(fmean(row.scores["chrf"] for row in rows), 2),
        "similarity": round(fmean(row.scores["similarity"] for row in rows), 4),
        "median_ms": round(median(row.total_ms or 0.0 for row in rows)),
        "prompt_tokens": sum(row.prompt_tokens or 0 for row in rows),
        "completion_tokens": sum(row.completion_tokens or 0 for row in rows),
        "ways": dict(ways),
    }


def _sign(row: EvaluationItem, gain: float) -> Sign:
    return Sign(
        mean_logprob=row.scores.get("mean_logprob"),
        agreement=row.scores.get("agreement"),
        gain=gain,
    )
