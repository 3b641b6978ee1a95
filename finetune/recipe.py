"""The recipe: how examples are made of approved replies. It is kept with the dataset."""

from dataclasses import dataclass
from typing import Literal

from bot.prompt import DEFAULT_BUDGET, Budget
from store import Method


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Filters, redaction, split and weights; the mask is the one in force and is noted beside."""

    method: Method = Method.sft
    """SFT trains on every approved reply, DPO on those that were edited, against their drafts."""

    # Filters.
    max_example_tokens: int = 1800
    """Longer ones are left out: small models read 2,048."""
    expiring: Literal["keep", "leave_out"] = "keep"
    """Whether facts that expire (prices, dates, stock) are trained, or left to the knowledge
    store alone. The report counts them either way."""

    # Redaction: details are always replaced, and these words as well.
    words: tuple[str, ...] = ()

    # Split.
    holdout_share: float = 0.2
    near_duplicate: float = 0.85
    """From this similarity of two questions on (see finetune.near), a train example is struck
    for one that is held out; 1: only for the same words."""

    # Weights.
    weights: Literal["approved", "last"] = "approved"
    """Which replies a line of a conversation trains: every approved one, or its last alone."""
    context: Literal["none", "first", "all"] = "first"
    """Which examples carry retrieved facts as in retrieval: none, the customers' own questions,
    or the other phrasings too. The tuned model answers both with facts and without."""
    budget: Budget = DEFAULT_BUDGET
