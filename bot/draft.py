"""A draft: an answer with the whole story of how it came about."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from knowledge.retrieved import ApprovedMatch, Retrieved
from store import Way


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What the answer step returns, before any review; a Reply row records all of it."""

    text: str
    way: Way
    reason: str
    """Why it went this way, for the reviewer: `tuned: sure (-0.21 >= -0.35)`."""
    is_sure: bool
    """Whether the policy `hold_unsure` may send it."""
    model: str | None = None
    model_version_id: int | None = None
    mask_id: int | None = None
    prompt: Sequence[dict[str, Any]] = ()
    retrieved: Sequence[Retrieved | ApprovedMatch] = ()
    """The context; for an approved reply, the pair that it is."""
    mean_logprob: float | None = None
    agreement: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    first_token_ms: float | None = None
    total_ms: float | None = None
    tried: Sequence[str] = field(default_factory=tuple)
    """The ways that were tried before and given up, with the reason of each."""
    is_substitute: bool = False
    """The tuned model was to answer and was absent, or failed: this one stands in for it."""
