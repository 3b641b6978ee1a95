"""Clients that stream answers from a server, and the time at which each piece came."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
from openai import AsyncOpenAI, OpenAIError

SYSTEM = "You are the assistant of a shop. Answer in one to three sentences."
TOKENS = 48


@dataclass(kw_only=True)
class Streamed:
    """One answer: seconds on a monotonic clock."""

    started_at: float
    pieces_at: list[float] = field(default_factory=list)
    error: str | None = None

    @property
    def first_token_ms(self) -> float:
        return (self.pieces_at[0] - self.started_at) * 1000

    @property
    def longest_pause_s(self) -> float:
        """Between two pieces, or before the first."""
        times = [self.started_at, *self.pieces_at]
        return max((b - a for a, b in itertools.pairwise(times)), default=0.0)


def questions(first: int) -> Iterator[str]:
    """No two alike, so that no server answers from what it remembers; of equal length from 2,000.

    Each measurement takes a thousand of its own.
    """
    for number in itertools.count(first):
        yield f"Order {number}: where is it, and what of item {number * 7}, which is broken?"


def ask(question: str) -> list[Any]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]


async def stream(client: AsyncOpenAI, model: str, question: str) -> Streamed:
    """One answer of at most `TOKENS` tokens; a failure is noted, not raised."""
    streamed = Streamed(started_at=time.perf_counter())
    try:
        chunks = await client.chat.completions.create(
            model=model,
            messages=ask(question),
            stream=True,
            temperature=0,
            max_tokens=TOKENS,
        )
        async for chunk in chunks:
            if chunk.choices and chunk.choices[0].delta.content:
                streamed.pieces_at.append(time.perf_counter())
    except (OpenAIError, httpx2.HTTPError) as error:
        streamed.error = str(error)
    return streamed


async def stream_all(
    url: str, model: str, *, clients: int, answers: int, first: int
) -> list[Streamed]:
    """`clients` at once, each of them `answers` times in a row, from question `first` on."""
    asked = questions(first)

    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=600) as client:
        await stream(client, model, "Hello?")  # warm: the connection, the shared prompt

        async def talk() -> list[Streamed]:
            return [await stream(client, model, next(asked)) for _ in range(answers)]

        talks = await asyncio.gather(*(talk() for _ in range(clients)))
    return [streamed for talk in talks for streamed in talk]
