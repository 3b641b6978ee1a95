"""The review policy: what happens to an answer before the customer gets it."""

from bot.draft import Draft
from store import Policy, ReplyStatus, Way

_NOT_HELD = (Way.unknown, Way.notice)
"""They promise nothing, and a customer who gets no word at all is worse off."""


def status_of(draft: Draft, policy: Policy) -> ReplyStatus:
    """Whether a fresh answer goes out or waits for a person."""
    holds = policy is Policy.hold or (policy is Policy.hold_unsure and not draft.is_sure)
    return ReplyStatus.held if holds and draft.way not in _NOT_HELD else ReplyStatus.ready


def needs_review(draft: Draft, status: ReplyStatus) -> bool:
    """Whether a person should look at it: not at what a person has already approved."""
    return status is ReplyStatus.held or draft.way is not Way.approved


def shows_while_written(policy: Policy) -> bool:
    """Whether the customer may watch: only where nothing can hold the answer back."""
    return policy is Policy.send
