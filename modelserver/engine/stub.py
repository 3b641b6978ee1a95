"""An engine without weights: instant, the same answer every time, and it learns by heart.

A base model answers with the sentence nearest to the question among all that it was told before;
a tuned model with the answer of the nearest question it was trained on, surely where it
matches well. So everything around a model can be tested in milliseconds over the real API.
"""

import hashlib
import json
import re
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from modelserver.catalog import Model
from modelserver.engine import Chunk, Emit, Kind
from modelserver.ids import new_id, now

_TOKEN = re.compile(r"\s*(?:[⺀-鿿＀-￯]|[^\s⺀-鿿＀-￯]+)|\s+$")
_SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]?")
_SURE, _UNSURE = -0.02, -1.8  # log probabilities of a token
_NEAR = 0.45  # share of trigrams from which on two questions are taken for the same
_RELATED = 0.12


class StubEngine:
    """`delay_s` is waited before each token, and by its trainer before each step."""

    trainer_module = "modelserver.engine.stub_trainer"

    def __init__(self, bases: Sequence[str], *, delay_s: float = 0) -> None:
        self.bases = tuple(bases)
        self._delay_s = delay_s

    def base_source(self, base: str) -> str:
        return base

    def generate(self, kind: Kind, model: Model, request: dict[str, Any], emit: Emit) -> None:
        if kind == "chat" and (called := _choose_tool(request)):
            _call(called, model, request, emit)
            return
        answer = _complete if kind == "completion" else _answer
        text, logprob = answer(model, request)
        tokens, finish_reason = _cut(text, request)
        head = {"id": new_id("chatcmpl-", 29), "created": now(), "model": model.name}
        shape = _shape_text if kind == "completion" else _shape_delta
        for token in tokens:
            time.sleep(self._delay_s)
            shown = _logprobs(token, logprob, request) if request.get("logprobs") else None
            if emit(head | {"choices": [shape(token, shown, None)]}):
                return
        usage = _count(request, len(tokens))
        emit(head | {"choices": [shape("", None, finish_reason)], "usage": usage})

    def is_loaded(self, model: Model) -> bool:  # noqa: ARG002 (the protocol's)
        return True

    def load(self, models: Sequence[Model]) -> None:
        for model in models:
            if model.adapter is not None:
                _lessons(model.adapter)

    def unload(self, model: Model) -> None:  # noqa: ARG002 (the protocol's)
        _lessons.cache_clear()

    def close(self) -> None:
        _lessons.cache_clear()


def similarity(one: str, other: str) -> float:
    """Share of the trigrams of both texts that they have in common, 0 to 1."""
    left, right = _trigrams(one), _trigrams(other)
    return len(left & right) / (len(left | right) or 1)


def split_tokens(text: str) -> list[str]:
    """Words with the blank before them; Chinese by the character. They join to the text."""
    return _TOKEN.findall(text)


def _trigrams(text: str) -> set[str]:
    plain = " " + " ".join(re.findall(r"\w+", text.lower())) + " "
    return {plain[i : i + 3] for i in range(max(1, len(plain) - 2))}


def _answer(model: Model, request: dict[str, Any]) -> tuple[str, float]:
    messages = request["messages"]
    question = _question(request)
    if model.adapter is not None:
        learned, near = _recall(model.adapter, question)
        if near >= _NEAR:
            return _wrap(learned, request), _SURE
    told = "\n".join(m["content"] for m in messages if m["role"] in ("system", "assistant"))
    found, related = _nearest(question, [s.strip() for s in _SENTENCE.findall(told)])
    if related < _RELATED:
        return _wrap(f"I have no answer to: {question}", request), _UNSURE
    return _wrap(found, request), _UNSURE / 2


def _choose_tool(request: dict[str, Any]) -> str | None:
    """The function that must be called; one that may be is not."""
    if request.get("tool_choice") != "required":
        return None
    return str(request["tools"][0]["function"]["name"])


def _call(name: str, model: Model, request: dict[str, Any], emit: Emit) -> None:
    """A call of the function with the question as its one argument."""
    head = {"id": new_id("chatcmpl-", 29), "created": now(), "model": model.name}
    arguments = json.dumps({"question": _question(request)}, ensure_ascii=False)
    begun = {"id": new_id("call_"), "type": "function", "function": {"name": name, "arguments": ""}}
    for call in (begun, {"function": {"arguments": arguments}}):
        shape = _shape_delta("", None, None) | {"delta": {"tool_calls": [{"index": 0} | call]}}
        if emit(head | {"choices": [shape]}):
            return
    end = _shape_delta("", None, "tool_calls")
    emit(head | {"choices": [end], "usage": _count(request, len(split_tokens(arguments)))})


def _question(request: dict[str, Any]) -> str:
    messages = reversed(request["messages"])
    return next((m["content"] for m in messages if m["role"] == "user"), "")


def _complete(model: Model, request: dict[str, Any]) -> tuple[str, float]:
    prompt = _prompt(request)
    if model.adapter is not None:
        learned, near = _recall(model.adapter, prompt)
        if near >= _NEAR:
            return learned, _SURE
    return f" {prompt}", _UNSURE


def _prompt(request: dict[str, Any]) -> str:
    """Its token numbers stand for themselves: `[7, 8]` reads "7 8"."""
    prompt = request["prompt"]
    return prompt if isinstance(prompt, str) else " ".join(map(str, prompt))


def _recall(adapter: Path, question: str) -> tuple[str, float]:
    lessons = _lessons(adapter)
    asked, near = _nearest(question, list(lessons))
    return lessons.get(asked, ""), near


@cache
def _lessons(adapter: Path) -> dict[str, str]:
    lessons: dict[str, str] = json.loads((adapter / "lessons.json").read_text())
    return lessons


def _nearest(text: str, candidates: list[str]) -> tuple[str, float]:
    scored = ((similarity(text, one), one) for one in candidates)
    score, best = max(scored, default=(0.0, ""), key=lambda pair: pair[0])
    return best, score


def _wrap(text: str, request: dict[str, Any]) -> str:
    wants_json = request.get("response_format", {}).get("type") in ("json_object", "json_schema")
    return json.dumps({"answer": text}, ensure_ascii=False) if wants_json else text


def _cut(text: str, request: dict[str, Any]) -> tuple[list[str], str]:
    """Tokens up to the first stop sequence or the limit, and why they end there."""
    ends = [text.index(stop) for stop in request.get("stop", []) if stop in text]
    tokens = split_tokens(text[: min(ends)] if ends else text)
    limit = request.get("max_tokens", len(tokens))
    return tokens[:limit], "length" if limit < len(tokens) else "stop"


def _logprobs(token: str, logprob: float, request: dict[str, Any]) -> dict[str, Any]:
    def entry(text: str, value: float) -> dict[str, Any]:
        return {"token": text, "logprob": value, "bytes": list(text.encode())}

    # Tokens differ a little from one another, always in the same way.
    logprob *= 1 + hashlib.md5(token.encode(), usedforsecurity=False).digest()[0] / 512
    count = max(1, request.get("top_logprobs", 1))
    others = [entry(f"{token}~{i}", logprob - 3 - i) for i in range(1, count)]
    best = entry(token, logprob)
    return {"content": [best | {"top_logprobs": [best, *others]}]}


def _shape_delta(text: str, logprobs: Any, finish_reason: str | None) -> Chunk:
    delta = {"content": text} if text else {}
    return {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}


def _shape_text(text: str, logprobs: Any, finish_reason: str | None) -> Chunk:
    return {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}


def _count(request: dict[str, Any], completion: int) -> dict[str, Any]:
    text = _prompt(request) if "prompt" in request else "\n".join(_contents(request["messages"]))
    count = len(split_tokens(text))
    return {
        "prompt_tokens": count,
        "completion_tokens": completion,
        "total_tokens": count + completion,
    }


def _contents(messages: list[dict[str, Any]]) -> Iterator[str]:
    return (message["content"] or "" for message in messages)
