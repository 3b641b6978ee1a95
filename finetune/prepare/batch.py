"""A batch: examples of one file in columns, which is how a million of them are worked on fast."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Line = dict[str, Any]


class Kind(StrEnum):
    """What one example is."""

    pair = "pair"  # a prompt and a completion
    chat = "chat"  # messages, as chat models are trained on
    preference = "preference"  # a conversation with a chosen and a rejected answer


@dataclass(kw_only=True)
class Batch:
    """Examples in their order; the lists are equally long."""

    numbers: Sequence[int]
    prompts: list[str]
    """Of chats: all that stands before the last answer, one turn a line."""
    completions: list[str]
    """Of chats: the last answer. Of preferences: the chosen and the rejected one."""
    lines: list[Line] | None = None
    """Of chats and preferences: what is written; None for pairs."""

    def __len__(self) -> int:
        return len(self.prompts)

    def keep(self, wanted: Sequence[bool]) -> "Batch":
        """Those examples alone for which `wanted` is true."""
        if all(wanted):
            return self
        places = [place for place, is_wanted in enumerate(wanted) if is_wanted]
        return Batch(
            numbers=[self.numbers[place] for place in places],
            prompts=[self.prompts[place] for place in places],
            completions=[self.completions[place] for place in places],
            lines=None if self.lines is None else [self.lines[place] for place in places],
        )
