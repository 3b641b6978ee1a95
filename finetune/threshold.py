"""The threshold: from which certainty on the tuned model may answer.

It is fitted for each model version, for the right one differs from adapter to adapter. Two signs
are read off an answer: the mean log-probability of its tokens, and its agreement with what was
retrieved. On every hold-out question we know what the tuned answer wins or loses against the answer
that retrieval would give instead (chrF points); on an off-topic question a sure answer is an
invented one and costs `OFF_TOPIC_COST`. The pair of thresholds with the greatest total gain wins,
the stricter one among equals; when nothing is won, the version is never sure.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]

OFF_TOPIC_COST = 30.0
"""chrF points: about what a good answer wins over a poor one."""
NEVER_SURE = 1.0
"""A log-probability that no answer reaches."""
UNITS = 1e9
"""In a chrF point: gains are compared as whole numbers of this size."""


@dataclass(frozen=True, kw_only=True)
class Sign:
    """One answer of the tuned model: how sure it was, and what sending it wins."""

    mean_logprob: float | None
    agreement: float | None
    gain: float


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """Sure at or above both; none where the provider gives no such sign."""

    logprob: float | None
    agreement: float | None
    gain: float
    """Total gain on the answers that it was fitted on, chrF points."""
    sure: int
    of: int

    @property
    def reason(self) -> str:
        if not self.sure:
            return f"never sure: on {self.of} questions no threshold won anything over retrieval"
        return f"sure on {self.sure} of {self.of} questions, winning {self.gain:.0f} chrF points"


def fit_threshold(signs: Sequence[Sign]) -> Threshold:
    """The thresholds with the greatest total gain on these answers."""
    logprobs = _column(sign.mean_logprob for sign in signs)
    agreements = _column(sign.agreement for sign in signs)
    # Whole numbers add up exactly in any order: equals are equal, not one rounding apart.
    gains = np.rint([sign.gain * UNITS for sign in signs])
    logprob_cuts, agreement_cuts = _cuts(logprobs), _cuts(agreements)
    by_logprob = logprobs >= logprob_cuts[:, None]  # (cuts, signs)
    by_agreement = agreements >= agreement_cuts[:, None]
    totals = (by_logprob * gains) @ by_agreement.T.astype(float)  # (logprob, agreement cuts)
    if not totals.size or totals.max() <= 0:
        return Threshold(logprob=NEVER_SURE, agreement=None, gain=0.0, sure=0, of=len(signs))
    row, column = divmod(int(totals.argmax()), len(agreement_cuts))  # the first: the strictest
    return Threshold(
        logprob=_finite(logprob_cuts[row]),
        agreement=_finite(agreement_cuts[column]),
        gain=float(totals[row, column]) / UNITS,
        sure=int((by_logprob[row] & by_agreement[column]).sum()),
        of=len(signs),
    )


def _column(values: Iterable[float | None]) -> Column:
    """Missing signs become minus infinity: never sure by them."""
    return np.array([-math.inf if value is None else value for value in values])


def _cuts(values: Column) -> Column:
    """Where a threshold can lie, strictest first: halfway between neighbours, and at the least.

    Nothing lies halfway to a missing sign: there the threshold is the neighbour itself.
    """
    seen = np.unique(values)[::-1]
    between = (seen[:-1] + seen[1:]) / 2
    return np.concatenate([np.where(np.isfinite(between), between, seen[:-1]), seen[-1:]])


def _finite(cut: float) -> float | None:
    return float(cut) if math.isfinite(cut) else None
