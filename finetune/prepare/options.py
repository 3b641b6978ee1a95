"""What a person may choose before data is prepared."""

from dataclasses import dataclass
from typing import Literal

from finetune.prepare.readers.markdown import Code

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
