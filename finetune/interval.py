"""An interval: how far the mean of differences may lie from what was seen, by the bootstrap.

Drawn over conversations, because several questions of one conversation are not independent
(scipy.stats.bootstrap, bias-corrected and accelerated).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

RESAMPLES = 9_999
SEED = 20_260_601  # one set of answers has one verdict


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean difference and its confidence interval."""

    mean: float
    low: float
    high: float
    conversations: int = 0


def paired_interval(gains: Iterable[tuple[str, float]], confidence: float) -> Interval | None:
    """Of the mean of (conversation, gain); none where there is no gain to weigh."""
    means = _means(gains)
    if not means.size:
        return None
    return _interval((means,), np.mean, confidence, len(means))


def unpaired_interval(
    ours: Iterable[tuple[str, float]], theirs: Iterable[tuple[str, float]], confidence: float
) -> Interval | None:
    """Of the difference of two groups' means, ours minus theirs; none where one is empty."""
    one, other = _means(ours), _means(theirs)
    if not one.size or not other.size:
        return None
    return _interval((one, other), _difference, confidence, len(one) + len(other))


def _interval(
    data: Sequence[NDArray[np.float64]], statistic: Any, confidence: float, conversations: int
) -> Interval:
    mean = float(statistic(*data, axis=-1))
    if all(np.ptp(each) == 0 for each in data):  # nothing varies: there is no interval to draw
        return Interval(mean=mean, low=mean, high=mean, conversations=conversations)
    drawn = bootstrap(
        data,
        statistic,
        n_resamples=RESAMPLES,
        confidence_level=confidence,
        method="BCa" if len(data) == 1 else "percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return Interval(
        mean=mean, low=float(drawn.low), high=float(drawn.high), conversations=conversations
    )


def _means(gains: Iterable[tuple[str, float]]) -> NDArray[np.float64]:
    """One mean a conversation, in a stable order: one set of answers has one verdict."""
    by_conversation = defaultdict(list)
    for conversation_id, gain in gains:
        by_conversation[conversation_id].append(gain)
    return np.array([np.mean(sorted(by_conversation[key])) for key in sorted(by_conversation)])


def _difference(one: NDArray[np.float64], other: NDArray[np.float64], axis: int) -> Any:
    return np.mean(one, axis=axis) - np.mean(other, axis=axis)
