"""The store works the same on SQLite and on PostgreSQL."""

import asyncio
from pathlib import Path

import pytest

from knowledge import Knowledge
from store import Database
from tests.knowledge.conftest import MODEL, Approve
from tests.knowledge.embedding_endpoint import EmbeddingEndpoint


@pytest.fixture
def database(any_database: Database) -> Database:
    return any_database


async def test_ingest_change_and_learn_at_once_on_either_database(
    database: Database, approve: Approve, endpoint: EmbeddingEndpoint, tmp_path: Path
) -> None:
    knowledge = await Knowledge.open(
        database, endpoint.client, embedding_model=MODEL, folder=tmp_path / "chroma"
    )
    path = tmp_path / "delivery.md"
    path.write_text("# Delivery\nFree in Norway.\n\n# Returns\nWithin 100 days.")
    await knowledge.ingest([path])
    path.write_text("# Returns\nWithin 100 days.\n\n# Delivery\nFree in Chile.")
    report = await knowledge.ingest([path])
    assert (report.chunks, report.failed) == (1, {})
    replies = [await approve(f"Question number {n}?", f"Answer {n}.") for n in range(5)]
    await asyncio.gather(*(knowledge.learn(reply_id) for reply_id in replies))
    assert await knowledge.sync() == 0
    assert [hit.text for hit in await knowledge.retrieve("Chile", limit=1)] == ["Free in Chile."]
    assert await knowledge._index.dense.ids() == knowledge._index.lexical.ids
    assert len(knowledge._index.lexical) == 7
    await knowledge.close()
