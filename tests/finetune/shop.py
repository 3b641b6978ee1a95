"""A shop with approved replies, opened on a database and a model server: what a retrain needs."""

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.answer import Answerer, AnswerOptions
from bot.turns import append_turn, lock_conversation
from finetune.gate import GateOptions
from finetune.judge import Judge
from finetune.recipe import Recipe
from finetune.retrain import Retrainer, RetrainOptions
from finetune.run import active_run
from finetune.split import side_of
from finetune.trial import TrialOptions
from knowledge import Knowledge
from store import (
    Database,
    Reply,
    ReplyStatus,
    Review,
    Role,
    Run,
    Split,
    Verdict,
    Way,
    conversation_id,
)

HOLDOUT_SHARE, HELD_OUT = 0.4, 10
BASE_MODEL = "smollm2-135m-instruct"
EMBEDDING_MODEL = "multilingual-e5-small"
SUBJECTS = (  # noqa: SIM905
    "pillow mattress duvet bed slat topper blanket cover frame headboard sheet bolster cushion "
    "quilt cot hammock futon divan lamp rug"
).split()


@dataclass
class Shop:
    """All that a retrain works with; nothing of it is simulated."""

    database: Database
    knowledge: Knowledge
    answerer: Answerer
    client: AsyncOpenAI
    retrainer: Retrainer

    async def run_to_the_end(self, timeout_s: float = 60) -> Run:
        """Step until the active run has ended."""
        async with self.database.read() as session:
            run = await active_run(session)
        assert run is not None
        async with asyncio.timeout(timeout_s):
            while run.is_active:
                if not await self.retrainer.step():
                    await asyncio.sleep(0.02)
                async with self.database.read() as session:
                    run = await session.get_one(Run, run.id)
        return run

    async def clean_up(self, timeout_s: float = 60) -> None:
        """Step until nothing of ours is left at the provider."""
        async with asyncio.timeout(timeout_s):
            while await self._has_leftovers():
                if not await self.retrainer.step():
                    await asyncio.sleep(0.02)

    async def _has_leftovers(self) -> bool:
        async with self.database.read() as session:
            query = select(Run.id).where(Run.leftovers_due_at.is_not(None)).limit(1)
            return await session.scalar(query) is not None


def quick_options(items: int = 8, **changes: object) -> RetrainOptions:
    """Options with which a run on the stub takes a second."""
    options = {
        # The stub learns by heart, so only near-duplicates show that it has learnt.
        "recipe": Recipe(holdout_share=HOLDOUT_SHARE, context="none", near_duplicate=1.0),
        "trial": TrialOptions(gate=GateOptions(min_items=4), items=items),
        "poll_s": 0.02,
        "lease_s": 5.0,
        **changes,
    }
    return RetrainOptions(**options)  # type: ignore[arg-type]


@asynccontextmanager
async def open_shop(
    database: Database,
    home: Path,
    url: str,
    options: RetrainOptions | None = None,
    *,
    judge_url: str | None = None,
    max_retries: int = 2,
    timeout_s: float = 60.0,
) -> AsyncIterator[Shop]:
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=max_retries) as client:
        knowledge = await Knowledge.open(
            database, client, embedding_model=EMBEDDING_MODEL, folder=home / "chroma"
        )
        answer = AnswerOptions(timeout_s=timeout_s)
        answerer = Answerer(knowledge, client, base_model=BASE_MODEL, options=answer)
        judge = Judge(client.with_options(base_url=judge_url), "judge") if judge_url else None
        retrainer = Retrainer(
            database, knowledge, answerer, client, home, options or quick_options(), judge=judge
        )
        try:
            yield Shop(database, knowledge, answerer, client, retrainer)
        finally:
            await knowledge.close()


async def approve(database: Database, question: str, answer: str, **story: Any) -> int:
    """Store a question with its answered and (unless `verdict` is none) reviewed reply; its id."""
    async with database.write() as session:
        return await _approve(session, question, answer, **story)


async def approve_many(database: Database, count: int = 15) -> None:
    """Facts that two customers each asked for in nearly the same words."""
    async with database.write() as session:
        # No two tests that share a server freeze the same dataset, and find each other's files.
        own = f"Who made {uuid.uuid4()}?"
        await _approve(session, own, "We did.", address=_address(own, Split.train))
        for place, subject in enumerate(SUBJECTS[:count]):
            price = 100 + len(subject) * 7
            # The stub's base model repeats one sentence of what is retrieved: half an answer.
            answer = f"The {subject} costs {price} euros. We bring it, and you may try it a month."
            # Each fact is trained on; how the second customer asked is held out for most of them.
            held_out = Split.holdout if place < HELD_OUT else Split.train
            for side, end in ((Split.train, "?"), (held_out, " today?")):
                question = f"How much does the {subject} cost{end}"
                await _approve(session, question, answer, address=_address(f"{subject}{end}", side))


def _address(name: str, side: Split) -> str:
    """An address whose conversation falls on this side."""
    addresses = (f"{name} {number}" for number in itertools.count())
    return next(
        each for each in addresses if side_of(conversation_id("web", each), HOLDOUT_SHARE) is side
    )


async def _approve(
    session: AsyncSession,
    question: str,
    answer: str,
    *,
    address: str | None = None,
    verdict: Verdict | None = Verdict.approved,
    phrasings: Sequence[str] = (),
    draft: str = "",
    reviewer: str = "ada",
) -> int:
    """An edited reply was held: its customer got what the person wrote, not the draft."""
    conversation = await session.run_sync(lock_conversation, "web", address or question)
    turn = await session.run_sync(append_turn, conversation.id, Role.customer, question)
    reply = Reply(
        conversation_id=conversation.id,
        turn_id=turn.id,
        draft=draft or answer,
        text=answer,
        status=ReplyStatus.sent,
        way=Way.retrieval,
    )
    session.add(reply)
    await session.flush()
    await session.run_sync(append_turn, conversation.id, Role.bot, answer, reply_id=reply.id)
    if verdict is not None:
        text = None if verdict is Verdict.rejected else answer
        review = Review(
            reply_id=reply.id,
            verdict=verdict,
            text=text,
            phrasings=list(phrasings),
            reviewer=reviewer,
        )
        session.add(review)
    await session.flush()
    return reply.id
