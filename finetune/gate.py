"""The gate: is the candidate better than what is live?

Both answered the same questions, so their scores are compared question by question. The mean of the
differences gets an interval by the bootstrap (scipy.stats.bootstrap, bias-corrected), drawn over
conversations: several questions of one conversation are not independent. The candidate passes when
the whole interval of chrF lies above zero and its answers are no less similar to the approved ones.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import bootstrap

RESAMPLES = 9_999
SEED = 20_260_601  # one set of answers has one verdict


@dataclass(frozen=True, kw_only=True)
class GateOptions:
    """What the gate asks for."""

    min_items: int = 8
    """With fewer conversations in the hold-out a person decides."""
    confidence: float = 0.95
    similarity_tolerance: float = 0.01
    """So much less mean similarity (cosine) counts as no worse."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The scores of both ways of serving on one question."""

    conversation_id: str
    live_chrf: float
    candidate_chrf: float
    live_similarity: float
    candidate_similarity: float


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean difference, candidate minus live, and its confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the gate says, and why, in words for the person who reads it."""

    promote: bool
    asks_person: bool
    reasons: list[str]
    conversations: int
    chrf: Interval | None = None
    similarity: Interval | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def decide(compared: Sequence[Compared], options: GateOptions) -> Decision:
    """Weigh candidate against live; too few conversations ask a person."""
    conversations = len({item.conversation_id for item in compared})
    if conversations < options.min_items:
        return Decision(
            promote=False,
            asks_person=True,
            reasons=[
                f"only {conversations} conversation(s) could be compared, and the gate needs "
                f"{options.min_items}: ask a person, who may promote it by hand"
            ],
            conversations=conversations,
        )
    chrf = _interval(compared, "chrf", options.confidence)
    similarity = _interval(compared, "similarity", options.confidence)
    is_better = chrf.low > 0
    is_as_similar = similarity.mean >= -options.similarity_tolerance
    return Decision(
        promote=is_better and is_as_similar,
        asks_person=False,
        reasons=[
            _say_chrf(chrf, is_better, options.confidence, conversations),
            _say_similarity(similarity, is_as_similar, options.similarity_tolerance),
        ],
        conversations=conversations,
        chrf=chrf,
        similarity=similarity,
    )


def _interval(compared: Sequence[Compared], score: str, confidence: float) -> Interval:
    by_conversation = defaultdict(list)
    for item in compared:
        gain = getattr(item, f"candidate_{score}") - getattr(item, f"live_{score}")
        by_conversation[item.conversation_id].append(gain)
    # In a stable order, for one set of answers has one verdict.
    gains = np.array([np.mean(by_conversation[key]) for key in sorted(by_conversation)])
    mean = float(gains.mean())
    if np.ptp(gains) == 0:  # nothing varies, and the bootstrap has no interval to give
        return Interval(mean=mean, low=mean, high=mean)
    drawn = bootstrap(
        (gains,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=confidence,
        method="BCa",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return Interval(mean=mean, low=float(drawn.low), high=float(drawn.high))


def _say_chrf(gain: Interval, is_better: bool, confidence: float, conversations: int) -> str:
    verdict = "better" if is_better else "not shown to be better"
    return (
        f"{verdict}: chrF changes by {gain.mean:+.1f} points ({confidence:.0%} interval "
        f"{gain.low:+.1f} to {gain.high:+.1f}, {conversations} conversations); the whole interval "
        f"must lie above zero"
    )


def _say_similarity(gain: Interval, is_as_similar: bool, tolerance: float) -> str:
    verdict = "as similar" if is_as_similar else "less similar"
    return (
        f"{verdict} to the approved replies: cosine changes by {gain.mean:+.3f} "
        f"({gain.low:+.3f} to {gain.high:+.3f}); a loss of up to {tolerance:.3f} is allowed"
    )
