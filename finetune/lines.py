"""Lines: examples as the trainer reads them, in OpenAI's chat or preference format.

Each answer is trained after exactly the prompt that serving gives. Where the prompt and answer of
one example are how the prompt of a later one begins, the later line trains both: a conversation
becomes one line, `weight` 0 on what nobody approved. Where a reply was edited after it was sent, or
the history is longer than its budget, they differ, and each has a line of its own.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bot.prompt import Budget, Chat, build_prompt
from bot.tokens import count_tokens
from finetune.examples import Approved
from knowledge.retrieved import Retrieved
from store import Mask, Method


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line, and the examples that it trains: the last is the one that it ends with."""

    method: Method
    prompt: Chat = field(repr=False)
    example: Approved
    quoted: tuple[int, ...] = ()
    """Replies of other conversations that stand in it as context."""
    earlier: tuple["Line", ...] = ()
    """The lines that are the beginning of this one, and are trained with it."""

    @cached_property
    def text(self) -> str:
        """The JSON of the line."""
        shaped = _as_pair(self) if self.method is Method.dpo else _as_chat(self)
        return json.dumps(shaped, ensure_ascii=False)

    @cached_property
    def tokens(self) -> int:
        return count_tokens(self.text)

    @property
    def reply_ids(self) -> list[int]:
        """The replies that it trains, in their order."""
        return [line.example.reply_id for line in (*self.earlier, self)]


def write_line(
    example: Approved, mask: Mask, facts: Sequence[Retrieved], budget: Budget, method: Method
) -> Line:
    """One example behind the prompt that serving would give it."""
    return Line(
        method=method,
        prompt=build_prompt(mask, example.history, example.question, facts, budget=budget),
        example=example,
        quoted=tuple(chunk.reply_id for chunk in facts if chunk.reply_id is not None),
    )


def fold(lines: Sequence[Line]) -> list[Line]:
    """The same lines without those that are the beginning of another one, which trains them."""
    by_conversation: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        by_conversation[line.example.conversation_id].append(line)
    folded = [line for group in by_conversation.values() for line in _fold(group)]
    place = {id(line.example): place for place, line in enumerate(lines)}
    return sorted(folded, key=lambda line: place[id(line.example)])


def _fold(lines: Sequence[Line]) -> list[Line]:
    whole = {id(line): _key(line.prompt, line.example.answer) for line in lines}
    longest_first = sorted(lines, key=lambda line: -len(line.prompt))
    kept: list[tuple[Line, list[Line]]] = []
    for line in longest_first:
        key = whole[id(line)]
        for longer, earlier in kept:
            if len(longer.prompt) > len(key) and whole[id(longer)][: len(key)] == key:
                earlier.insert(0, line)
                break
        else:
            kept.append((line, []))
    return [
        Line(
            method=line.method,
            prompt=line.prompt,
            example=line.example,
            quoted=line.quoted,
            earlier=tuple(earlier),
        )
        for line, earlier in kept
    ]


def _key(prompt: Chat, answer: str) -> list[tuple[str, str]]:
    """What two lines are compared by: blanks at the ends of a message say nothing."""
    said = [(message["role"], message["content"].strip()) for message in prompt]
    return [*said, ("assistant", answer.strip())]


def _as_chat(line: Line) -> dict[str, Any]:
    """The approved answers alone are learnt; every other one has weight 0."""
    learnt = {len(earlier.prompt) for earlier in line.earlier}
    messages: list[dict[str, Any]] = [
        {**message, "weight": 0}
        if message["role"] == "assistant" and place not in learnt
        else dict(message)
        for place, message in enumerate(line.prompt)
    ]
    return {"messages": [*messages, _answer(line.example.answer)]}


def _as_pair(line: Line) -> dict[str, Any]:
    return {
        "input": {"messages": [dict(message) for message in line.prompt]},
        "preferred_completion": [_answer(line.example.answer)],
        "non_preferred_completion": [_answer(line.example.draft)],
    }


def _answer(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}
