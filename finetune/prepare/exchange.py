"""An exchange: a question and its answer from a chat, with what was said before them."""

import hashlib
from dataclasses import dataclass
from typing import Literal

Side = Literal["customer", "person"]


@dataclass(frozen=True, kw_only=True)
class Said:
    """A turn before the question."""

    role: Side
    text: str


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """Something to review; nothing is learnt from it before that."""

    question: str
    answer: str
    place: str
    """Where it stands: `Support group, lines 17 and 21`."""
    id: str
    """The same for ever, so that the same export read twice adds nothing."""
    history: tuple[Said, ...] = ()
    reason: str = ""
    """How question and answer were found to belong together."""


def exchange_id(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()
