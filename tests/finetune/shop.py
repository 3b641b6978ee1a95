"""A shop with approved replies, opened on a database and a model server: what a retrain needs."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI
from sqlalchemy.ext.asyncio import AsyncSession

from bot.answer import Answerer
from bot.turns import append_turn, lock_conversation
from finetune.dataset import Recipe
from finetune.gate import GateOptions
from finetune.retrain import Retrainer, RetrainOptions
from finetune.run import active_run
from knowledge import Knowledge
from store import Database, Reply, ReplyStatus, Review, Role, Run, Verdict, Way

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


def quick_options(**changes: object) -> RetrainOptions:
    """Options with which a run on the stub takes a second."""
    options = {
        "recipe": Recipe(holdout_share=0.4, context="none"),
        "gate": GateOptions(min_items=4),
        "evaluation_items": 8,
        "poll_s": 0.02,
        "lease_s": 5.0,
        **changes,
    }
    return RetrainOptions(**options)  # type: ignore[arg-type]


@asynccontextmanager
async def open_shop(
    database: Database, home: Path, url: str, options: RetrainOptions | None = None
) -> AsyncIterator[Shop]:
    async with AsyncOpenAI(base_url=url, api_key="none") as client:
        knowledge = await Knowledge.open(
            database, client, embedding_model=EMBEDDING_MODEL, folder=home / "chroma"
        )
        answerer = Answerer(knowledge, client, base_model=BASE_MODEL)
        retrainer = Retrainer(
            database, knowledge, answerer, client, home, options or quick_options()
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
        await _approve(session, f"Who made {uuid.uuid4()}?", "We did.")
        for subject in SUBJECTS[:count]:
            price = 100 + len(subject) * 7
            # The stub's base model repeats one sentence of what is retrieved: half an answer.
            answer = f"The {subject} costs {price} euros. We bring it, and you may try it a month."
            for customer, end in enumerate(("?", " today?")):
                question = f"How much does the {subject} cost{end}"
                await _approve(session, question, answer, address=f"{subject}-{customer}")


async def _approve(
    session: AsyncSession,
    question: str,
    answer: str,
    *,
    address: str | None = None,
    verdict: Verdict | None = Verdict.approved,
    phrasings: Sequence[str] = (),
) -> int:
    conversation = await lock_conversation(session, "web", address or question)
    turn = append_turn(session, conversation, Role.customer, question)
    await session.flush()
    reply = Reply(
        conversation_id=conversation.id,
        turn_id=turn.id,
        text=answer,
        status=ReplyStatus.sent,
        way=Way.retrieval,
    )
    session.add(reply)
    await session.flush()
    append_turn(session, conversation, Role.bot, answer, reply_id=reply.id)
    if verdict is not None:
        text = None if verdict is Verdict.rejected else answer
        review = Review(
            reply_id=reply.id,
            verdict=verdict,
            text=text,
            phrasings=list(phrasings),
            reviewer="ada",
        )
        session.add(review)
    await session.flush()
    return reply.id
