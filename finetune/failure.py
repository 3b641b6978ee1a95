"""A failure: whether another try is worth it, when, and what to tell the person who looks."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Literal

import openai

from bot.answer import NoAnswerYetError
from finetune.evaluate import ModelVersionAwayError

CLOSED = (
    "OpenAI closes self-serve fine-tuning, wholly from 6 January 2027. Train on your own machine "
    "instead: leave NOD_TRAINER_BASE_URL and NOD_MODEL_BASE_URL empty, or point them at a model "
    "server. The dataset is kept."
)
DARK = "The provider trains this base model no more, or not yet: set NOD_BASE_MODEL to another."
_TRANSIENT = (408, 409, 425, 429)
_FIRST_WAIT_S, _LONGEST_WAIT_S = 2.0, 60.0
_SHORTEST_KEY = 8
"""What is shorter is a word such as `none`, for a provider that wants no key."""
_LONGEST_ASKED_S = 3600.0
_OUT_OF_QUOTA = ("insufficient_quota", "billing_hard_limit_reached", "daily_rate_limit_exceeded")
_DARK_WORDS = ("deprecated", "shut down", "not available for fine-tuning", "cannot be fine-tuned")

Refusal = Literal["closed", "quota"]
"""Why a provider will not train for us: for good, or until the account is mended."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What a failed step means for its run."""

    reason: str
    is_transient: bool
    is_away: bool = False
    """A model does not answer (yet): one that loads is waited for longer."""
    is_unanswered: bool = False
    """The provider did not answer, or not now: what it has begun goes on meanwhile."""
    refusal: Refusal | None = None
    retry_after_s: float | None = None
    """What the provider asked for."""


def judge(error: Exception) -> Failure:
    """Read an error of the provider, or of anything else that a step met."""
    if isinstance(error, ModelVersionAwayError | NoAnswerYetError):
        return Failure(reason=str(error), is_transient=True, is_away=True)
    if not isinstance(error, openai.APIStatusError):
        return Failure(
            reason=f"{type(error).__name__}: {error}",
            is_transient=True,
            is_unanswered=isinstance(error, openai.APIConnectionError),
        )
    message = error.message.lower()
    reason = f"the provider says {error.status_code}: {_without_key(error)}"
    if error.status_code == 403 or "fine-tuning is no longer available" in message:
        return Failure(reason=f"{reason}. {CLOSED}", is_transient=False, refusal="closed")
    if error.status_code == 401:
        way_out = "Set NOD_TRAINER_API_KEY (or NOD_MODEL_API_KEY) to a valid key."
        return Failure(reason=f"{reason}. {way_out}", is_transient=False)
    if error.code in _OUT_OF_QUOTA:
        return Failure(
            reason=f"{reason}. The dataset is kept.", is_transient=False, refusal="quota"
        )
    if error.code == "model_not_found" or any(word in message for word in _DARK_WORDS):
        return Failure(reason=f"{reason}. {DARK} The dataset is kept.", is_transient=False)
    may_pass = error.status_code in _TRANSIENT or error.status_code >= 500
    return Failure(
        reason=reason,
        is_transient=may_pass,
        is_unanswered=may_pass,
        retry_after_s=_retry_after(error),
    )


def _without_key(error: openai.APIStatusError) -> str:
    """The message; some providers say back in it which key they refused."""
    key = error.request.headers.get("authorization", "").removeprefix("Bearer ")
    return error.message.replace(key, "***") if len(key) >= _SHORTEST_KEY else error.message


def wait_s(attempt: int, retry_after_s: float | None = None) -> float:
    """How long to wait after the `attempt`-th failure (from 1): doubling, with jitter."""
    if retry_after_s is not None:
        return retry_after_s + random.uniform(0, 1)
    longest = min(_FIRST_WAIT_S * 2 ** min(attempt - 1, 30), _LONGEST_WAIT_S)
    return random.uniform(longest / 2, longest)


def _retry_after(error: openai.APIStatusError) -> float | None:
    """Seconds or a date (RFC 9110, 10.2.3), within an hour."""
    said = error.response.headers.get("retry-after", "")
    try:
        asked = float(said)
    except ValueError:
        asked = _seconds_until(said)
    return min(max(asked, 0.0), _LONGEST_ASKED_S) if isfinite(asked) else None


def _seconds_until(date: str) -> float:
    try:
        return (parsedate_to_datetime(date).astimezone(UTC) - datetime.now(UTC)).total_seconds()
    except ValueError:
        return float("nan")
