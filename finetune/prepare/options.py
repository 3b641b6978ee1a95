"""What a person may choose before data is prepared."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from finetune.prepare.readers.markdown import Code
from finetune.prepare.shorten import TooLong

Form = Literal["auto", "prompt", "chat"]


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How files are read."""

    sheet: str | None = None
    code: Code = "keep"
    prompt_column: str | None = None
    completion_column: str | None = None
    form: Form = "auto"
    """`prompt` and `chat` turn the one into the other; `auto` keeps what the first row is."""
    recipe: str | None = None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of the model that is going to be trained."""

    model: str
    tokenizer: str
    tokens: int
    too_long: TooLong | None = None
    """None: it is asked."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What was answered beforehand, by the name of the remedy."""

    given: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where the result goes."""

    path: Path
    """`FOLDER/NAME_prepared.jsonl`; `_train` and `_valid` go before the suffix."""
    valid_share: float | None = None
    """Of examples that are put aside for validation; None: only where the data are classes."""
