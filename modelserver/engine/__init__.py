"""What answers and trains: llama.cpp (`llama`), or a stub without weights (`stub`)."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

from modelserver.catalog import Model

Chunk = dict[str, Any]
Emit = Callable[[Chunk], bool]  # takes a piece of the answer; True asks to stop
Kind = Literal["chat", "completion"]


class Engine(Protocol):
    """Called from threads; `generate` from several at a time.

    Answers are streamed in the chunks of OpenAI's API, the last of them with `usage`. All
    methods raise `ApiError` for what the client did wrong.
    """

    trainer_module: str  # `python -m` this, with a job's folder, trains

    @property
    def bases(self) -> Sequence[str]:
        """Names of the base models."""

    def base_source(self, base: str) -> str:
        """What the command line called this base: a name, a path or a Hugging Face id."""

    def generate(self, kind: Kind, model: Model, request: dict[str, Any], emit: Emit) -> None:
        """Answers one request in the wire format, checked, with streaming on."""

    def is_loaded(self, model: Model) -> bool:
        """Whether it would answer without delay. Never waits: the event loop asks."""

    def load(self, models: Sequence[Model]) -> None:
        """Makes the models answer without delay. Raises when their files are no good."""

    def unload(self, model: Model) -> None:
        """Frees what a deleted model takes."""

    def close(self) -> None: ...
