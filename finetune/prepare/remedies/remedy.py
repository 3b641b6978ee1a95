"""A remedy: what is wrong, and the ways to put it right."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from finetune.prepare.survey import Mask

Column = Literal["prompt", "completion"]
Texts = Callable[[list[str]], list[str]]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What one answer to the question does; nothing when all is empty."""

    drop: Mask | None = None
    """Examples that are left out."""
    column: Column = "prompt"
    change: Texts | None = None
    """What becomes of the texts of the column."""
    shorten: Literal["truncate", "split"] | None = None
    """What becomes of examples that are too long for the model."""


NOTHING = Effect()


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """One question."""

    name: str
    """Of the option that answers it beforehand, where there is one."""
    title: str
    """`Remove 3 duplicate rows`."""
    why: str
    ways: Mapping[str, Effect]
    """By the answer, the recommended one first: `yes` and `no`, or words of their own."""
    is_necessary: bool = False
    """Is done without a question."""
    rows: list[int] = field(default_factory=list)
    """Some of the examples that it concerns, to look at."""

    @property
    def recommended(self) -> str:
        return next(iter(self.ways))


def yes_or_no(effect: Effect) -> dict[str, Effect]:
    return {"yes": effect, "no": NOTHING}


def shown(text: str) -> str:
    """A separator as a person reads it."""
    return text.replace("\n", "\\n")
