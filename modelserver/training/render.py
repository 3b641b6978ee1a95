"""From a training line to tokens, and to which of them are trained on.

The text is cut where each trained answer begins and ends, and each piece is tokenised by itself:
the server tokenises a prompt up to the same place and lets the model write from there, so training
sees exactly the tokens that serving will.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


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


def render_example(tokenizer: Any, example: dict[str, Any]) -> Rendered:
    """A supervised line: {"messages": [...]} or {"prompt": ..., "completion": ...}."""
    if "prompt" in example:
        return _render_pieces(
            tokenizer, _completion_pieces(tokenizer, example), _opening(tokenizer)
        )
    messages = [_plain(message) for message in example["messages"]]
    weights = [message.get("weight") for message in example["messages"]]
    return _render_pieces(tokenizer, _chat_pieces(tokenizer, messages, weights, example))


def render_pair(tokenizer: Any, example: dict[str, Any]) -> tuple[Rendered, Rendered]:
    """A preference line: what was chosen, and what was rejected, each after the same input."""
    asked = example["input"]["messages"]
    earlier = [{**message, "weight": 0} for message in asked]
    chosen, rejected = (
        render_example(tokenizer, {"messages": [*earlier, *example[key]]})
        for key in ("preferred_completion", "non_preferred_completion")
    )
    return chosen, rejected


def _completion_pieces(tokenizer: Any, example: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    # An empty prompt asks for any text: something has to stand before what the model writes.
    start = tokenizer.bos_token or tokenizer.eos_token or "\n"
    yield example["prompt"] or (start if not _opening(tokenizer) else ""), False
    yield example["completion"] + (tokenizer.eos_token or ""), True


def _opening(tokenizer: Any) -> list[int]:
    """What llama.cpp puts before a bare prompt: the token that begins a text, if any."""
    ids = tokenizer("")["input_ids"]
    return [tokenizer.bos_token_id] if tokenizer.bos_token_id in ids[:1] else []


def _chat_pieces(
    tokenizer: Any,
    messages: Sequence[dict[str, Any]],
    weights: Sequence[int | None],
    example: dict[str, Any],
) -> Iterator[tuple[str, bool]]:
    """Prompt, answer, prompt, answer ...: the text of the conversation, cut at the answers."""

    def text(count: int, **options: Any) -> str:
        rendered: str = tokenizer.apply_chat_template(
            list(messages[:count]), tools=example.get("tools"), tokenize=False, **options
        )
        return rendered

    done = 0
    for place, message in enumerate(messages):
        if message["role"] != "assistant" or weights[place] == 0:
            continue
        prompt, whole = text(place, add_generation_prompt=True), text(place + 1)
        if not whole.startswith(prompt):
            raise RenderError(
                "the chat template writes an answer differently from what it asks for, so the "
                "trained tokens cannot be told from the others"
            )
        yield prompt[done:], False
        yield whole[len(prompt) :], True
        done = len(whole)


def _render_pieces(
    tokenizer: Any, pieces: Iterator[tuple[str, bool]], opening: Sequence[int] = ()
) -> Rendered:
    ids = list(opening)
    is_trained = [False] * len(ids)
    for text, trained in pieces:
        piece = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids += piece
        is_trained += [trained] * len(piece)
    return Rendered(ids=ids, is_trained=is_trained)


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    """A message as chat templates know it: `developer` is `system`, content is one string."""
    plain = {key: value for key, value in message.items() if key != "weight"}
    if plain["role"] == "developer":
        plain["role"] = "system"
    if isinstance(plain.get("content"), list):
        plain["content"] = "".join(part.get("text", "") for part in plain["content"])
    return plain
