"""Customers who chat with Nod, all at once, and the same prompts without Nod."""

import asyncio
import json
import random
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from openai import AsyncOpenAI

from app.sample import PAIRS
from app.settings import LOCAL_BASE_MODEL
from bench.rig.programs import Programs

CONVERSATIONS = 32
MESSAGES = 8
"""Of one customer: below what the web channel lets one write in a burst."""
REPLY_S = 60.0


@dataclass(kw_only=True)
class Answered:
    """How long each answer took, and all of them together."""

    sample: list[float] = field(default_factory=list)
    """Milliseconds."""
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.sample) / self.seconds

    def percentile(self, percent: int) -> float:
        return statistics.quantiles(self.sample, n=100, method="inclusive")[percent - 1]


@dataclass(kw_only=True)
class Customer:
    """Somebody with the chat page open."""

    client: httpx2.AsyncClient
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    last_role: str = ""

    async def ask(self, text: str) -> float:
        """Milliseconds from the click to the reply as a turn on the page."""
        started_at = time.perf_counter()
        message = {"id": f"bench-{random.getrandbits(64):016x}", "text": text}
        self.last_role = ""
        response = await self.client.post("/chat/messages", json=message)
        response.raise_for_status()
        async with asyncio.timeout(REPLY_S):
            while self.last_role != "bot":
                self.changed.clear()
                await self.changed.wait()
        return (time.perf_counter() - started_at) * 1000

    async def listen(self) -> None:
        """Follow the page's events."""
        event = ""
        async with self.client.stream("GET", "/chat/events", timeout=None) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    event = value
                elif name == "data" and event == "turn":
                    self.last_role = json.loads(value)["role"]
                    self.changed.set()


async def chat(programs: Programs, *, rounds: int, stagger_s: float = 1.0) -> Answered:
    """New customers in each round, all of them at once."""
    questions = _questions()
    answered = Answered()
    for _ in range(rounds):
        async with AsyncExitStack() as pages:
            customers = [
                await pages.enter_async_context(_customer(programs)) for _ in range(CONVERSATIONS)
            ]
            started_at = time.perf_counter()
            talks = (_talk(customer, questions, stagger_s) for customer in customers)
            for sample in await asyncio.gather(*talks):
                answered.sample += sample
            answered.seconds += time.perf_counter() - started_at
    return answered


async def _talk(customer: Customer, questions: list[str], stagger_s: float) -> list[float]:
    await asyncio.sleep(random.random() * stagger_s)  # nobody clicks in the same millisecond
    return [await customer.ask(random.choice(questions)) for _ in range(MESSAGES)]


@asynccontextmanager
async def _customer(programs: Programs) -> AsyncIterator[Customer]:
    address = f"127.{random.randint(1, 250)}.{random.randint(0, 255)}.{random.randint(1, 254)}"
    # The server closes what was idle for 5 s, and must not do so while we begin to write.
    limits = httpx2.Limits(keepalive_expiry=2)
    transport = httpx2.AsyncHTTPTransport(local_address=address, limits=limits)
    async with httpx2.AsyncClient(
        base_url=programs.nod_url, transport=transport, timeout=REPLY_S
    ) as client:
        (await client.get("/")).raise_for_status()  # brings the visitor's cookie
        customer = Customer(client=client)
        listening = asyncio.create_task(customer.listen())
        try:
            yield customer
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


def _questions() -> list[str]:
    lines = PAIRS.read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["question"] for line in lines]


async def complete_all(
    programs: Programs, prompts: Sequence[Any], *, stagger_s: float = 1.0
) -> Answered:
    """The same prompts, as many at once, asked as Nod asks them."""
    waiting = iter(prompts)
    answered = Answered()

    async def work() -> None:
        await asyncio.sleep(random.random() * stagger_s)
        for prompt in waiting:
            answered.sample.append(await _complete(client, model, prompt))

    async with AsyncOpenAI(base_url=programs.model_url, api_key="none") as client:
        model = await _base_model(client)
        await _complete(client, model, prompts[0])
        started_at = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(CONVERSATIONS)))
        answered.seconds = time.perf_counter() - started_at
    return answered


async def _base_model(client: AsyncOpenAI) -> str:
    models = [model.id async for model in client.models.list()]
    return next(model for model in models if model == LOCAL_BASE_MODEL)


async def _complete(client: AsyncOpenAI, model: str, prompt: Any) -> float:
    started_at = time.perf_counter()
    stream = await client.chat.completions.create(
        model=model,
        messages=prompt,
        stream=True,
        logprobs=True,
        temperature=0,
        max_tokens=256,
        stream_options={"include_usage": True},
    )
    async for _ in stream:
        pass
    return (time.perf_counter() - started_at) * 1000
