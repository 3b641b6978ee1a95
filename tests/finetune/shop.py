"""A shop with approved replies, opened on a database and a model server: what a retrain needs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from openai import AsyncOpenAI

from bot.answer import Answerer
from finetune.dataset import Recipe
from finetune.gate import GateOptions
from finetune.retrain import Retrainer, RetrainOptions
from finetune.run import active_run
from knowledge import Knowledge
from store import (
    Conversation,
    Database,
    Reply,
    ReplyStatus,
    Review,
    Role,
    Run,
    Turn,
    Verdict,
    Way,
    conversation_id,
)

BASE_MODEL = "smollm2-135m-instruct"
EMBEDDING_MODEL = "multilingual-e5-small"
SUBJECTS = (
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
        "evaluation_items": 12,
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


async def approve(
    database: Database,
    question: str,
    answer: str,
    *,
    address: str | None = None,
    verdict: Verdict | None = Verdict.approved,
    phrasings: Sequence[str] = (),
    way: Way = Way.retrieval,
) -> int:
    """Store a question with its answered and (unless `verdict` is none) reviewed reply; its id."""
    address = address or question
    async with database.write() as session:
        id_ = conversation_id("web", address)
        conversation = await session.get(Conversation, id_)
        if conversation is None:
            conversation = Conversation(id=id_, channel="web", address=address, last_seq=0)
            session.add(conversation)
        conversation.last_seq += 2
        turn = Turn(
            conversation_id=id_,
            seq=conversation.last_seq - 1,
            role=Role.customer,
            text=question,
        )
        session.add(turn)
        await session.flush()
        reply = Reply(
            conversation_id=id_, turn_id=turn.id, text=answer, status=ReplyStatus.sent, way=way
        )
        session.add(reply)
        await session.flush()
        session.add(
            Turn(
                conversation_id=id_,
                seq=conversation.last_seq,
                role=Role.bot,
                text=answer,
                reply_id=reply.id,
            )
        )
        if verdict is not None:
            text = None if verdict is Verdict.rejected else answer
            session.add(
                Review(
                    reply_id=reply.id,
                    verdict=verdict,
                    text=text,
                    phrasings=list(phrasings),
                    reviewer="ada",
                )
            )
        return reply.id


async def approve_many(database: Database, count: int = 20) -> None:
    """Facts that two customers each asked for in nearly the same words."""
    for subject in SUBJECTS[:count]:
        price = 100 + len(subject) * 7
        answer = f"The {subject} costs {price} euros, and we bring it to your door."
        for customer, question in enumerate(
            (f"How much does the {subject} cost?", f"How much does the {subject} cost today?")
        ):
            await approve(database, question, answer, address=f"{subject}-{customer}")
