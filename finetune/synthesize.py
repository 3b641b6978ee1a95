"""Synthesize: a model writes pairs of question and answer about a topic, for people to review.

It is asked for a few at a time, for the aspect that has the fewest; what it writes counts only if
it has the right form and is not what is there already. A small model does this badly: it is told
so, and the number of requests is bounded.
"""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bot.completion import ModelAwayError
from bot.prompt import Chat
from finetune.near import asks_the_same, normalize, plainly, similarity

AT_ONCE = 5
MAX_CHARS = 4000
NEAR = 0.85
ATTEMPTS = 3
"""Of one request, when the model is away."""
BACKOFF_S = 2.0
MAX_TOKENS = 1200

EXAMPLE = ("Can the cover be washed?", "Yes, at 40 degrees; please do not put it into a dryer.")

Write = Callable[[Chat], Awaitable[str]]
"""Asks the model; raises ModelAwayError when another try may help."""
OnPair = Callable[[int], None]
"""Is told how many pairs there are."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """A pair that a model wrote."""

    question: str
    answer: str
    aspect: str


@dataclass(kw_only=True)
class Synthesis:
    """What came of it."""

    wanted: int
    pairs: list[Written] = field(default_factory=list)
    requests: int = 0
    malformed: int = 0
    """Answers in which no pair was found, and pairs without a question or an answer."""
    duplicates: int = 0
    by_aspect: Counter[str] = field(default_factory=Counter)
    last_error: str = ""
    """Why the model was away, when that ended it."""


async def synthesize(
    write: Write,
    *,
    topic: str,
    aspects: Sequence[str],
    count: int,
    known: Sequence[str] = (),
    on_pair: OnPair = lambda _count: None,
) -> Synthesis:
    """Ask until there are enough pairs, or it is plain that there will not be.

    Args:
        aspects: what the pairs should be about; the topic itself where there are none.
        known: questions that are there already, and are not wanted again.

    Raises:
        ModelRefusedError: the model does not take the prompt.
    """
    names = list(dict.fromkeys(aspect.strip() for aspect in aspects if aspect.strip())) or [topic]
    synthesis = Synthesis(wanted=count)
    synthesis.by_aspect.update(dict.fromkeys(names, 0))
    asked = [EXAMPLE[0], *known]
    most = 2 * (-(-count // AT_ONCE) + len(names))
    tried: Counter[str] = Counter()
    while len(synthesis.pairs) < count and synthesis.requests < most:
        aspect = min(names, key=lambda name: (synthesis.by_aspect[name], tried[name]))
        tried[aspect] += 1
        share = -(-count // len(names)) - synthesis.by_aspect[aspect]
        some = max(1, min(AT_ONCE, share, count - len(synthesis.pairs)))
        synthesis.requests += 1
        try:
            said = await _patiently(write, _prompt(topic, aspect, some, asked[1:]))
        except ModelAwayError as error:
            synthesis.last_error = str(error)
            break
        _take(synthesis, said, aspect, asked)
        on_pair(len(synthesis.pairs))
    return synthesis


async def _patiently(write: Write, prompt: Chat) -> str:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await write(prompt)
        except ModelAwayError:
            if attempt == ATTEMPTS:
                raise
            await asyncio.sleep(BACKOFF_S * 2**attempt * random.uniform(0.5, 1))
    raise AssertionError("unreachable")


def _prompt(topic: str, aspect: str, count: int, asked: Sequence[str]) -> Chat:
    form = json.dumps([{"question": EXAMPLE[0], "answer": EXAMPLE[1]}])
    system = (
        "You write training data for a shop's support bot. You reply with JSON alone: a list of "
        f"objects with question and answer, such as {form}"
    )
    about = topic if aspect == topic else f"{topic}: {aspect}"
    user = (
        f"Write {count} different questions that customers ask about {about}, each with a short "
        f"answer that the shop could give. Write in the language of the topic."
    )
    if asked:
        user += " Do not repeat these: " + " | ".join(asked[-10:])
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def _take(synthesis: Synthesis, said: str, aspect: str, asked: list[str]) -> None:
    """The sound and new pairs of one answer."""
    found = list(find_pairs(said))
    synthesis.malformed += not found
    for question, answer in found:
        if len(synthesis.pairs) == synthesis.wanted:
            return
        if not _is_sound(question, answer):
            synthesis.malformed += 1
        elif any(_is_same(question, other) for other in asked):
            synthesis.duplicates += 1
        else:
            asked.append(question)
            synthesis.pairs.append(Written(question=question, answer=answer, aspect=aspect))
            synthesis.by_aspect[aspect] += 1


def find_pairs(text: str) -> Iterator[tuple[str, str]]:
    """Every object with a question and an answer in a text, whatever stands around them."""
    decoder = json.JSONDecoder()
    at = 0
    while (at := text.find("{", at)) >= 0:
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
            continue
        question, answer = found.get("question"), found.get("answer")
        if isinstance(question, str) and isinstance(answer, str):
            yield question.strip(), answer.strip()
            at = end
        else:
            at += 1  # the pairs may be inside


def _is_sound(question: str, answer: str) -> bool:
    """Said something, in bounds, and no template left to fill."""
    return (
        len(normalize(question)) >= 3
        and bool(normalize(answer))
        and len(question) + len(answer) <= MAX_CHARS
        and normalize(question) != normalize(answer)
        and not re.search(r"\.\.\.$|^\.\.\.|\[[A-Za-z ]+\]|<[A-Za-z ]+>", f"{question}\n{answer}")
    )


def _is_same(one: str, other: str) -> bool:
    left, right = plainly(one), plainly(other)
    return left == right or (similarity(left, right) >= NEAR and asks_the_same(left, right))
