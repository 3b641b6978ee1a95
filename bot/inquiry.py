"""A question on its way to an answer: what is asked, and what has been tried."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bot.completion import OnText
from bot.prompt import Chat
from knowledge.retrieved import ApprovedMatch, Retrieved
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
    is_tuned_away: bool = False
    """There is none, or it failed; one that is unsure is there."""
    refused: str | None = None
    """The approved reply of a near match that was not taken."""

    def refuse(self, match: ApprovedMatch, difference: str) -> None:
        """Note that a near match is not taken, and why."""
        near = f"{match.similarity:.2f} like {match.question!r}"
        self.tried.append(f"approved: not taken, {near}, but {difference}")
        self.refused = match.answer

    def give_up_tuned(self, why: str) -> None:
        """Note that the tuned model gives no answer."""
        self.tried.append(f"tuned: {why}")
        self.is_tuned_away = True

    @property
    def ms(self) -> float:
        """Milliseconds since it began."""
        return (time.perf_counter() - self.started_at) * 1000
