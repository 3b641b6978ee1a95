"""From a training line to tokens, and to which of them are trained on.

The text is cut where each trained answer begins and ends, and each piece is tokenised by itself:
the server tokenises a prompt up to the same place and lets the model write from there, so training
sees exactly the tokens that serving will.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from typing import Any, Literal

_SPOKEN = ("system", "user", "assistant")
_Piece = tuple[str, bool]  # text, and whether it is trained on


class RenderError(ValueError):
    """The chat template cannot be trained with."""


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """Token ids, and for each whether the model learns to write it."""

    ids: list[int]
    is_trained: list[bool]

    @property
    def trained_count(self) -> int:
        return sum(self.is_trained)


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What stands before the first trained answer of a line, as a request and as tokens."""

    kind: Literal["chat", "completion"]
    request: dict[str, Any]
    ids: list[int]


def render_example(tokenizer: Any, example: dict[str, Any]) -> tuple[Rendered, ...]:
    """A supervised line: {"messages": [...]} or {"prompt": ..., "completion": ...}.

    One sequence, or one for each answer where the template shows an answer otherwise once others
    follow (Qwen3 drops its thoughts): then no single text holds what each was written after.
    """
    sequences = (
        [_completion_pieces(tokenizer, example)]
        if "prompt" in example
        else _chat_sequences(tokenizer, example)
    )
    return tuple(_render_pieces(tokenizer, pieces) for pieces in sequences)


def render_pair(tokenizer: Any, example: dict[str, Any]) -> tuple[Rendered, Rendered]:
    """A preference line: what was chosen, and what was rejected, each after the same input."""
    asked = example["input"]["messages"]
    earlier = [{**message, "weight": 0} for message in asked]
    tools = {"tools": example["input"].get("tools")}
    (chosen,), (rejected,) = (
        render_example(tokenizer, {"messages": [*earlier, *example[key]], **tools})
        for key in ("preferred_completion", "non_preferred_completion")
    )
    return chosen, rejected


def render_prompt(tokenizer: Any, example: dict[str, Any]) -> Prompt | None:
    """What the server is to be asked, or None for lines that say more than words (tools)."""
    if example.get("prompt") == "":  # the server refuses it
        return None
    if "prompt" in example:
        ids = _tokenize(tokenizer, example["prompt"], is_first=True)
        return Prompt(kind="completion", request={"prompt": example["prompt"]}, ids=ids)
    if example.get("tools") or example.get("functions"):
        return None
    told = list(map(_plain, _messages_before_answer(example)))
    if not told or any(m["role"] not in _SPOKEN or m.get("tool_calls") for m in told):
        return None
    text = tokenizer.apply_chat_template(told, tokenize=False, add_generation_prompt=True)
    ids = _tokenize(tokenizer, text, is_first=True)
    return Prompt(kind="chat", request={"messages": told}, ids=ids)


def shows_tools(tokenizer: Any, example: dict[str, Any]) -> bool:
    """Whether the template has a place for the tools of a line."""
    messages = list(map(_plain, example["messages"][:1]))
    without, with_tools = (
        tokenizer.apply_chat_template(messages, tools=tools, tokenize=False)
        for tools in (None, _tools_of(example))
    )
    return bool(without != with_tools)


def _messages_before_answer(example: dict[str, Any]) -> list[dict[str, Any]]:
    if "input" in example:  # of a pair
        asked: list[dict[str, Any]] = example["input"]["messages"]
        return asked
    return list(takewhile(lambda message: not _is_learnt(message), example["messages"]))


def _is_learnt(message: dict[str, Any]) -> bool:
    return message["role"] == "assistant" and message.get("weight") != 0


def _completion_pieces(tokenizer: Any, example: dict[str, Any]) -> list[_Piece]:
    # An empty prompt asks for any text: something has to stand before what the model writes.
    start = "" if _adds_beginning(tokenizer) else tokenizer.bos_token or tokenizer.eos_token or "\n"
    completion = example["completion"] + (tokenizer.eos_token or "")
    return [(example["prompt"] or start, False), (completion, True)]


def _chat_sequences(tokenizer: Any, example: dict[str, Any]) -> Iterator[list[_Piece]]:
    """Prompt, answer, prompt, answer ...: the text of the conversation, cut at the answers."""
    messages = list(map(_plain, example["messages"]))

    def text(count: int, **options: Any) -> str:
        rendered: str = tokenizer.apply_chat_template(
            messages[:count], tools=_tools_of(example), tokenize=False, **options
        )
        return rendered

    pieces: list[_Piece] = []
    written = ""
    for place, message in enumerate(example["messages"]):
        if not _is_learnt(message):
            continue
        prompt, whole = text(place, add_generation_prompt=True), text(place + 1)
        if not whole.startswith(prompt):
            raise RenderError(
                "the chat template writes an answer differently from what it asks for, so the "
                "trained tokens cannot be told from the others"
            )
        if not prompt.startswith(written):
            yield pieces
            pieces, written = [], ""
        pieces += [(prompt[len(written) :], False), (whole[len(prompt) :], True)]
        written = whole
    yield pieces


def _tools_of(example: dict[str, Any]) -> list[dict[str, Any]] | None:
    older = [{"type": "function", "function": one} for one in example.get("functions") or ()]
    return example.get("tools") or older or None


def _render_pieces(tokenizer: Any, pieces: Sequence[_Piece]) -> Rendered:
    ids: list[int] = []
    is_trained: list[bool] = []
    for text, trained in pieces:
        piece = _tokenize(tokenizer, text, is_first=not ids)
        ids += piece
        is_trained += [trained] * len(piece)
    return Rendered(ids=ids, is_trained=is_trained)


def _tokenize(tokenizer: Any, text: str, *, is_first: bool) -> list[int]:
    """llama.cpp puts the token that begins a text where the tokenizer would, but never twice."""
    begins_so = tokenizer.bos_token and text.startswith(tokenizer.bos_token)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    if is_first and not begins_so and _adds_beginning(tokenizer):
        ids = [tokenizer.bos_token_id, *ids]
    return ids


@cache
def _adds_beginning(tokenizer: Any) -> bool:
    ids = tokenizer("a")["input_ids"]
    return tokenizer.bos_token_id is not None and ids[:1] == [tokenizer.bos_token_id]


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    """A message as chat templates know it.

    `developer` is `system` and `function` is `tool`; parts are lines of one text, as the server
    has them; arguments of a call are an object, and not JSON in a string.
    """
    plain = {key: value for key, value in message.items() if key not in ("weight", "function_call")}
    plain["role"] = {"developer": "system", "function": "tool"}.get(plain["role"], plain["role"])
    content = plain.get("content")
    if isinstance(content, list):
        content = "\n".join(part.get("text", "") for part in content)
    plain["content"] = content or ""
    calls = list(message.get("tool_calls") or ())
    if message.get("function_call"):
        calls.append({"type": "function", "function": message["function_call"]})
    if calls:
        plain["tool_calls"] = list(map(_plain_call, calls))
    return plain


def _plain_call(call: dict[str, Any]) -> dict[str, Any]:
    function = dict(call.get("function") or {})
    if isinstance(arguments := function.get("arguments"), str):
        with suppress(ValueError):  # no JSON: taken as it is written
            function["arguments"] = json.loads(arguments)
    return {**call, "function": function}
