"""What chat and text completions have in common: how tokens are chosen."""

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from modelserver.api.answer import CHOICES
from modelserver.api.strict import Body

Stop = Annotated[str, StringConstraints(min_length=1)]
_SEEDS = 2**32 - 1  # llama.cpp takes 32 bits, and the last one for "random"


class StreamOptions(Body):
    include_usage: bool = False


class Sampling(Body):
    """`top_k`, `min_p` and `repeat_penalty` are llama.cpp's own."""

    model: str
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=CHOICES)] | None = 1
    max_tokens: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repeat_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] | None = None
    seed: int | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None

    @property
    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    def to_wire(self) -> dict[str, Any]:
        """The request as the engine takes it: defaults left out, always streaming."""
        kept = {
            "max_tokens",
            "temperature",
            "top_p",
            "top_k",
            "min_p",
            "repeat_penalty",
            "frequency_penalty",
            "presence_penalty",
        }
        wire = self.model_dump(include=kept, exclude_none=True)
        wire |= {"stream": True, "stream_options": {"include_usage": True}}
        if self.stop:
            wire["stop"] = [self.stop] if isinstance(self.stop, str) else self.stop
        if self.logit_bias:
            wire["logit_bias"] = {k: v for k, v in self.logit_bias.items() if k.isdecimal()}
        return wire

    def spread(self, wire: dict[str, Any]) -> list[dict[str, Any]]:
        """One request a choice, each with a seed of its own where one was given."""
        if self.seed is None:
            return [wire] * (self.n or 1)
        return [wire | {"seed": (self.seed + i) % _SEEDS} for i in range(self.n or 1)]
