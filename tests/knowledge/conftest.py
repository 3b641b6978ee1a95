"""A knowledge store on disk, an embedding endpoint over HTTP, and approved replies."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from knowledge import Knowledge
from store import (
    Conversation,
    Database,
    Reply,
    ReplyStatus,
    Review,
    Role,
    Turn,
    Verdict,
    Way,
    conversation_id,
)
from tests.knowledge.embedding_endpoint import EmbeddingEndpoint, line_to

MODEL = "multilingual-e5-small"
Approve = Callable[..., Awaitable[int]]
OpenKnowledge = Callable[..., Awaitable[Knowledge]]


@pytest.fixture
async def endpoint(modelserver_url: str) -> AsyncIterator[EmbeddingEndpoint]:
    async with line_to(modelserver_url) as endpoint:
        yield endpoint


@pytest.fixture
async def open_knowledge(
    database: Database, endpoint: EmbeddingEndpoint, tmp_path: Path
) -> AsyncIterator[OpenKnowledge]:
    """Opens the store as a process does at its start; give what should differ."""
    opened: list[Knowledge] = []

    async def open_it(**differing: Any) -> Knowledge:
        given: dict[str, Any] = {"embedding_model": MODEL, "folder": tmp_path / "chroma"}
        knowledge = await Knowledge.open(database, endpoint.client, **given | differing)
        # What waits without a customer is tried again for seconds: not here.
        knowledge._index.embedder._patient = knowledge._index.embedder._prompt
        opened.append(knowledge)
        return knowledge

    yield open_it
    for knowledge in opened:
        await knowledge.close()


@pytest.fixture
async def knowledge(open_knowledge: OpenKnowledge) -> Knowledge:
    return await open_knowledge()


@pytest.fixture
def approve(database: Database) -> Approve:
    """Stores a question, its reply and the review, and returns the reply's id."""

    async def approve_it(
        question: str,
        answer: str,
        *,
        phrasings: tuple[str, ...] = (),
        verdict: Verdict = Verdict.approved,
        address: str = "a customer",
    ) -> int:
        cid = conversation_id("web", address)
        async with database.write() as session:
            conversation = await session.get(Conversation, cid)
            if conversation is None:
                conversation = Conversation(id=cid, channel="web", address=address, last_seq=0)
                session.add(conversation)
            conversation.last_seq += 1
            turn = Turn(
                conversation_id=cid, seq=conversation.last_seq, role=Role.customer, text=question
            )
            session.add(turn)
            await session.flush()
            reply = Reply(
                conversation_id=cid,
                turn_id=turn.id,
                text=answer,
                status=ReplyStatus.sent,
                way=Way.base,
            )
            session.add(reply)
            await session.flush()
            session.add(
                Review(
                    reply_id=reply.id,
                    verdict=verdict,
                    text=None if verdict == Verdict.rejected else answer,
                    phrasings=list(phrasings),
                    reviewer="someone",
                )
            )
            return reply.id

    return approve_it
