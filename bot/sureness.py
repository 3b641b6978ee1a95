"""Whether an answer is sure enough to go out unseen."""

from store import ModelVersion

BASE_SURE_AGREEMENT = 0.6
"""The base model has no fitted threshold; most of what it says must have been retrieved."""


def judge_tuned(
    mean_logprob: float | None, agreement: float | None, version: ModelVersion
) -> tuple[bool, str]:
    """Whether a tuned answer is sure, and why, by the thresholds fitted for its version.

    A provider may give no log-probabilities; agreement then decides alone. A version without
    thresholds is never sure.
    """
    if version.sure_agreement is None and version.sure_logprob is None:
        return False, "no threshold was fitted for this version"
    marks = [
        _mark("log-probability", mean_logprob, version.sure_logprob),
        _mark("agreement", agreement or 0.0, version.sure_agreement),
    ]
    reached = [mark for mark in marks if mark is not None]
    if not reached:
        return False, "the provider gave no log-probabilities"
    return all(is_met for is_met, _ in reached), ", ".join(words for _, words in reached)


def judge_base(agreement: float | None) -> tuple[bool, str]:
    """Whether an answer of the base model is sure, and why."""
    if agreement is None:
        return False, "no context"
    is_met, words = _mark("agreement", agreement, BASE_SURE_AGREEMENT) or (False, "")
    return is_met, words


def _mark(name: str, value: float | None, least: float | None) -> tuple[bool, str] | None:
    """A threshold that is met or missed; none where there is nothing to compare."""
    if value is None or least is None:
        return None
    is_met = value >= least
    return is_met, f"{name} {value:.2f} {'>=' if is_met else '<'} {least:.2f}"
