"""A batch: examples of one file in columns, which is how a million of them are worked on fast."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import compress
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
        return Batch(
            numbers=list(compress(self.numbers, wanted)),
            prompts=list(compress(self.prompts, wanted)),
            completions=list(compress(self.completions, wanted)),
            lines=None if self.lines is None else list(compress(self.lines, wanted)),
        )
