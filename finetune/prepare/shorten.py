"""Shorten: what becomes of an example that is longer than the model reads.

drop       it is left out
truncate   a pair loses the end of its completion, a conversation its oldest turns
split      a pair becomes several, each going on where the one before it stopped; a
           conversation becomes several, each ending with an answer
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from finetune.prepare.conversation import text_of
from finetune.prepare.tokens import Tokenizer

TooLong = Literal["drop", "truncate", "split", "keep"]
MESSAGE_TOKENS = 4
"""What the markup of a chat message costs, about: its role and its ends."""

Messages = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Shortener:
    """For one model's limit."""

    load: Callable[[], Tokenizer]
    """A tokenizer takes a hundred megabytes, and short examples need none."""
    limit: int

    @property
    def tokenizer(self) -> Tokenizer:
        return self.load()

    def pair_tokens(self, prompt: str, completion: str) -> int:
        return self.tokenizer.count(prompt) + self.tokenizer.count(completion)

    def chat_tokens(self, messages: Messages) -> int:
        return sum(self.tokenizer.count(text_of(each)) + MESSAGE_TOKENS for each in messages)

    def truncate_pair(self, prompt: str, completion: str) -> tuple[str, str] | None:
        """None where the prompt alone is too long."""
        room = self.limit - self.tokenizer.count(prompt)
        cut = self.tokenizer.cut(completion, room)
        return (prompt, cut) if cut.strip() else None

    def split_pair(self, prompt: str, completion: str) -> Iterator[tuple[str, str]]:
        """Each part is asked for with the prompt and the end of what was said before it."""
        asked = self.tokenizer.count(prompt)
        if asked > self.limit // 2:
            return
        memory = (self.limit - asked) // 4 if prompt else 0
        said, rest = "", completion
        while rest:
            before = self.tokenizer.cut(said, memory, keep="end") if prompt else ""
            room = self.limit - asked - (self.tokenizer.count(before) if before else 0) - 2
            part = _to_sentence_end(self.tokenizer.cut(rest, room), rest)
            if not part:
                return
            if part.strip():
                yield prompt + before, part
            said, rest = said + part, rest[len(part) :]

    def truncate_chat(self, messages: Messages) -> Messages | None:
        """Without the oldest exchanges; None where even the last one is too long."""
        system = [each for each in messages[:1] if each["role"] in ("system", "developer")]
        turns = messages[len(system) :]
        while turns:
            if self.chat_tokens([*system, *turns]) <= self.limit:
                return [*system, *turns]
            later = next(
                (place for place, each in enumerate(turns[1:], 1) if each["role"] == "user"), None
            )
            if later is None:
                return None
            turns = turns[later:]
        return None

    def split_chat(self, messages: Messages) -> Iterator[Messages]:
        """Runs of exchanges that fit, each under the system prompt."""
        system = [each for each in messages[:1] if each["role"] in ("system", "developer")]
        part: Messages = []
        for exchange in _exchanges(messages[len(system) :]):
            if part and self.chat_tokens([*system, *part, *exchange]) > self.limit:
                yield [*system, *part]
                part = []
            if self.chat_tokens([*system, *exchange]) <= self.limit:
                part += exchange
        if part:
            yield [*system, *part]


def _exchanges(turns: Messages) -> Iterator[Messages]:
    """From a question to the last turn before the next question; each has an answer."""
    exchange: Messages = []
    for turn in turns:
        if turn["role"] == "user" and any(each["role"] == "assistant" for each in exchange):
            yield exchange
            exchange = []
        exchange.append(turn)
    if any(each["role"] == "assistant" for each in exchange):
        yield exchange


def _to_sentence_end(part: str, whole: str) -> str:
    """The part up to its last paragraph, sentence or word, where one ends in its second half."""
    if part == whole:
        return part
    for ends in (("\n\n",), ("\n",), ("。", "！", "？", ". ", "! ", "? "), (" ",)):
        cut = max(part.rfind(end) + len(end) if end in part else 0 for end in ends)
        if cut * 2 > len(part):
            return part[:cut]
    return part
