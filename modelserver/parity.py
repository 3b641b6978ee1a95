"""Serve parity: what the trainer would write next, the server writes too, or the job fails.

Template, tokenizer, weights and adapter exist twice, once in torch and once in llama.cpp. The
trainer leaves probes: prompts of the training file with the tokens that it writes greedily after
each, and their likeliest alternatives. The server answers the same prompts. Quantised weights and
other kernels move log-probabilities a little, so two tokens that are about as likely may change
places: there the comparison of that probe ends. A token that the trainer holds for much less
likely than its own is a fault.
"""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelserver.catalog import Model
from modelserver.engine import Emit, Engine, Kind
from modelserver.errors import LoadingError

TIE = 1.0  # nats that the trainer may prefer its own token by; docs/modelserver.md has the measure
TOLERATED = 0.25  # share of probes that may be at fault
_WAITS_S = (1, 2, 4)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Where one probe shows that the two are not the same model."""

    line: int
    what: str


def find_faults(engine: Engine, model: Model, job_dir: Path) -> list[Fault]:
    """The faults, when they are more than can be tolerated; else none. Takes seconds.

    Raises what the engine raises.
    """
    told = job_dir / "probes.json"
    probes = json.loads(told.read_text()) if told.exists() else []
    faults = [fault for probe in probes if (fault := _examine(engine, model, probe))]
    return faults if len(faults) > TOLERATED * len(probes) else []


def explain(faults: list[Fault]) -> str:
    first = faults[0]
    return (
        f"trained and served model differ on {len(faults)} of the probe prompts, so the result "
        f"would not answer as it was trained. On line {first.line} of the training file "
        f"{first.what}. Most often the base's chat template or tokenizer is another one for "
        "training than for serving: start the server with another GGUF of this base, or with its "
        "folder of safetensors"
    )


@dataclass(frozen=True)
class _Answer:
    ids: list[int]
    is_ended: bool
    prompt_tokens: int


def _examine(engine: Engine, model: Model, probe: dict[str, Any]) -> Fault | None:
    answer = _ask(engine, model, probe)
    if answer.prompt_tokens != probe["prompt_tokens"]:
        what = (
            f"the prompt has {probe['prompt_tokens']} tokens for the trainer and "
            f"{answer.prompt_tokens} for the server"
        )
        return Fault(line=probe["line"], what=what)
    regret = regret_at_divergence(probe["steps"], answer.ids, is_ended=answer.is_ended)
    if regret <= TIE:
        return None
    what = f"the server writes a token that the trainer holds for {_times(regret)} less likely"
    return Fault(line=probe["line"], what=f"{what} than its own")


def _times(regret: float) -> str:
    return f"{math.exp(regret):,.0f} times" if regret < 10 else "more than 20,000 times"


def _ask(engine: Engine, model: Model, probe: dict[str, Any]) -> _Answer:
    request = probe["request"] | {
        "max_tokens": len(probe["steps"]),
        "temperature": 0.0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "logprobs": True,
        "top_logprobs": 1,
    }
    chunks: list[dict[str, Any]] = []

    def take(chunk: dict[str, Any]) -> bool:
        chunks.append(chunk)
        return False

    _generate(engine, probe["kind"], model, request, take)
    choices = [choice for chunk in chunks for choice in chunk.get("choices") or ()]
    told = [choice["logprobs"]["content"] or () for choice in choices if choice.get("logprobs")]
    usages = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    return _Answer(
        ids=[int(entry["id"]) for entries in told for entry in entries],
        is_ended=any(choice.get("finish_reason") == "stop" for choice in choices),
        prompt_tokens=usages[-1]["prompt_tokens"],
    )


def _generate(
    engine: Engine, kind: Kind, model: Model, request: dict[str, Any], take: Emit
) -> None:
    """Comes again while other models are being loaded, as any client would."""
    for wait_s in _WAITS_S:
        try:
            return engine.generate(kind, model, request, take)
        except LoadingError:
            time.sleep(wait_s)
    return engine.generate(kind, model, request, take)


def regret_at_divergence(steps: list[dict[str, Any]], ids: list[int], *, is_ended: bool) -> float:
    """By how many nats the trainer prefers its own token where the two part; 0 if they don't.

    llama.cpp tells no token that is but a part of a letter, so those are passed over; where they
    stand just before the parting, which of them it was is not known, and the closest call counts.
    """
    hidden: list[float] = []
    heard = iter(ids)
    for step in steps:
        own = step["near"][str(step["token"])]
        if not step["is_shown"] and not step["is_end"]:
            hidden.append(own - max(_others(step), default=-math.inf))
            continue
        got = next(heard, None)
        if got == step["token"] or (got is None and (step["is_end"] or not is_ended)):
            hidden = []
            continue
        other = step["end"] if got is None else step["near"].get(str(got))
        regret = math.inf if other is None else own - other
        return max(0.0, min([regret, *hidden]))
    return 0.0


def _others(step: dict[str, Any]) -> list[float]:
    return [value for token, value in step["near"].items() if token != str(step["token"])]
