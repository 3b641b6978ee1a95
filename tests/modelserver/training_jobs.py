"""What tests about fine-tuning jobs have in common."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from openai import AsyncOpenAI

Connect = Callable[..., AsyncOpenAI]  # (url, api_key="none"), see conftest

BASE = "smollm2-135m-instruct"
FINISHED = ("succeeded", "failed", "cancelled")
PAIRS = [(f"What does item number {i} cost?", f"Item {i} costs {i * 7} euros.") for i in range(12)]


def lines_of(pairs: Sequence[tuple[str, str]]) -> bytes:
    rows = [
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
        for q, a in pairs
    ]
    return "\n".join(json.dumps(row) for row in rows).encode()


async def upload(client: AsyncOpenAI, content: bytes, purpose: Any = "fine-tune") -> str:
    return (await client.files.create(file=("t.jsonl", content), purpose=purpose)).id


async def wait_for(client: AsyncOpenAI, job_id: str, *statuses: str) -> Any:
    """The job once it has one of these statuses, by default once it has ended."""
    async with asyncio.timeout(200):
        while True:  # as every client does it
            job = await client.fine_tuning.jobs.retrieve(job_id)
            if job.status in (statuses or FINISHED):
                return job
            assert job.status not in FINISHED, job
            await asyncio.sleep(0.05)


async def until(is_so: Callable[[], Awaitable[object]]) -> None:
    """Waits until something that can't be waited for otherwise has come about."""
    async with asyncio.timeout(30):
        while not await is_so():  # noqa: ASYNC110 (another process has no event to wait for)
            await asyncio.sleep(0.03)


async def has_checkpoint(client: AsyncOpenAI, job_id: str) -> bool:
    return bool((await client.fine_tuning.jobs.checkpoints.list(job_id)).data)


async def ask(client: AsyncOpenAI, model: str, question: str, **more: Any) -> str:
    done = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": question}], **more
    )
    return done.choices[0].message.content or ""
