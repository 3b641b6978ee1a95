"""A question on its way to an answer: what is asked, and what has been tried."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bot.completion import OnText
from bot.prompt import Chat
from knowledge.retrieved import Retrieved
from store import Mask, ModelVersion


@dataclass(kw_only=True)
class Inquiry:
    """One per answer; the ways add to `tried` and leave it to the next."""

    question: str
    history: Chat
    mask: Mask
    model_version: ModelVersion | None
    exclude_conversation: str | None
    on_text: OnText | None
    started_at: float
    """By time.perf_counter."""
    context: Sequence[Retrieved] = ()
    tried: list[str] = field(default_factory=list)

    @property
    def ms(self) -> float:
        """Milliseconds since it began."""
        return (time.perf_counter() - self.started_at) * 1000
