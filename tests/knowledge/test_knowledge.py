"""What was approved is found at once, once, and by everybody who asks for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from knowledge import EmbeddingModelChangedError, Knowledge
from knowledge.dense import DenseIndex
from store import Chunk, ChunkKind, Database, Review, Verdict
from tests.knowledge.conftest import MODEL, Approve, OpenKnowledge
from tests.knowledge.embedding_endpoint import EmbeddingEndpoint


async def count_chunks(database: Database) -> int:
    async with database.read() as session:
        return await session.scalar(select(func.count(Chunk.id))) or 0


@asynccontextmanager
async def chroma_at(folder: Path, model: str = MODEL) -> AsyncIterator[DenseIndex]:
    chroma = DenseIndex(model=model, folder=folder)
    yield chroma
    await chroma.close()


async def test_an_approved_pair_is_found_at_once(knowledge: Knowledge, approve: Approve) -> None:
    await knowledge.learn(await approve("How long is delivery?", "Three to five working days."))
    [found] = await knowledge.retrieve("how long does delivery take")
    assert (found.text, found.question) == ("Three to five working days.", "How long is delivery?")
    assert found.kind == ChunkKind.pair
    assert found.similarity is not None
    assert found.similarity > 0.5


async def test_every_phrasing_is_found_and_the_answer_is_returned_once(
    knowledge: Knowledge, approve: Approve
) -> None:
    reply_id = await approve(
        "How long is delivery?", "Three days.", phrasings=("When will my parcel arrive?", " ")
    )
    await knowledge.learn(reply_id)
    match = await knowledge.nearest_approved("when will the parcel arrive")
    assert match is not None
    assert (match.question, match.reply_id) == ("When will my parcel arrive?", reply_id)
    found = await knowledge.retrieve("when will delivery of my parcel arrive")
    assert [hit.text for hit in found] == ["Three days."]


async def test_learning_twice_changes_nothing(
    knowledge: Knowledge, approve: Approve, database: Database, endpoint: EmbeddingEndpoint
) -> None:
    reply_id = await approve("Is it firm?", "Medium firm.", phrasings=("is it FIRM", "Is it hard?"))
    await knowledge.learn(reply_id)
    asked = len(endpoint.asked)
    await knowledge.learn(reply_id)
    assert await count_chunks(database) == 2  # "is it FIRM" is the same question
    assert len(endpoint.asked) == asked


async def test_a_reply_that_is_rejected_later_is_forgotten(
    knowledge: Knowledge, approve: Approve, database: Database
) -> None:
    reply_id = await approve("Is it firm?", "Medium firm.")
    await knowledge.learn(reply_id)
    async with database.write() as session:
        await session.execute(update(Review).values(verdict=Verdict.rejected))
    await knowledge.learn(reply_id)
    assert await count_chunks(database) == 0
    assert await knowledge.retrieve("Is it firm?") == []
    assert await knowledge.nearest_approved("Is it firm?") is None


async def test_a_forgotten_reply_is_not_found(knowledge: Knowledge, approve: Approve) -> None:
    reply_id = await approve("Is it firm?", "Medium firm.")
    await knowledge.learn(reply_id)
    await knowledge.forget(reply_id)
    assert await knowledge.retrieve("Is it firm?") == []


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("Do you deliver to Norway?", "do you deliver to  norway"),
        ("有没有 10 年保修？", "有没有１０年保修!"),
        ("What's the price?", "What’s the PRICE"),
    ],
)
async def test_the_same_words_match_fully_also_without_embeddings(
    knowledge: Knowledge, approve: Approve, endpoint: EmbeddingEndpoint, stored: str, asked: str
) -> None:
    await knowledge.learn(await approve("Something else entirely", "Other."))
    await knowledge.learn(await approve(stored, "Yes."))
    endpoint.is_down = True
    match = await knowledge.nearest_approved(asked)
    assert match is not None
    assert (match.answer, match.similarity) == ("Yes.", 1.0)


async def test_the_excluded_conversation_is_left_out(
    knowledge: Knowledge, approve: Approve, database: Database
) -> None:
    mine = await approve("Is it firm?", "Medium.", phrasings=("How firm is it?",), address="me")
    other = await approve("Is the bed firm?", "Quite.", address="another")
    for reply_id in (mine, other):
        await knowledge.learn(reply_id)
    async with database.read() as session:
        cid = await session.scalar(select(Chunk.conversation_id).where(Chunk.reply_id == mine))
    found = await knowledge.retrieve("Is it firm?", exclude_conversation=cid)
    assert [hit.text for hit in found] == ["Quite."]
    match = await knowledge.nearest_approved("Is it firm?", exclude_conversation=cid)
    assert match is not None
    assert match.answer == "Quite."


async def test_the_phrasings_of_an_answer_are_those_of_all_its_pairs(
    knowledge: Knowledge, approve: Approve, database: Database
) -> None:
    mine = await approve("Is it firm?", "Medium.", phrasings=("How firm is it?",), address="me")
    for reply_id in (
        mine,
        await approve("Is it hard?", "Medium.", address="another"),
        await approve("Is it soft?", "Quite."),
    ):
        await knowledge.learn(reply_id)
    assert await knowledge.phrasings("Medium.") == ["Is it firm?", "How firm is it?", "Is it hard?"]
    async with database.read() as session:
        cid = await session.scalar(select(Chunk.conversation_id).where(Chunk.reply_id == mine))
    assert await knowledge.phrasings("Medium.", exclude_conversation=cid) == ["Is it hard?"]


async def test_retrieval_goes_on_by_words_when_embeddings_are_away(
    knowledge: Knowledge, approve: Approve, endpoint: EmbeddingEndpoint
) -> None:
    await knowledge.learn(await approve("How long is delivery?", "Three days."))
    endpoint.is_down = True
    [found] = await knowledge.retrieve("delivery")
    assert (found.text, found.similarity) == ("Three days.", None)


async def test_what_was_learned_while_embeddings_were_away_is_finished_by_sync(
    knowledge: Knowledge, approve: Approve, endpoint: EmbeddingEndpoint
) -> None:
    endpoint.is_down = True
    await knowledge.learn(await approve("How long is delivery?", "Three days."))
    [found] = await knowledge.retrieve("delivery")
    assert found.text == "Three days."
    assert await knowledge.sync() == 1
    endpoint.is_down = False
    assert await knowledge.sync() == 0
    assert "query: How long is delivery?" in endpoint.asked


async def test_sync_learns_what_was_reviewed_before_a_crash(
    knowledge: Knowledge, approve: Approve, database: Database
) -> None:
    await approve("How long is delivery?", "Three days.")  # and then it was killed
    assert await knowledge.sync() == 0
    match = await knowledge.nearest_approved("How long is delivery?")
    assert match is not None
    assert match.answer == "Three days."


async def test_sync_removes_orphans_and_restores_what_chroma_lost(
    open_knowledge: OpenKnowledge, approve: Approve, database: Database, tmp_path: Path
) -> None:
    knowledge = await open_knowledge()
    kept, gone, lost = [await approve(f"Question {n}?", f"{n}") for n in ("one", "two", "three")]
    for reply_id in (kept, gone, lost):
        await knowledge.learn(reply_id)
    await knowledge.close()
    async with database.write() as session:
        await session.execute(delete(Review).where(Review.reply_id == gone))
        await session.execute(delete(Chunk).where(Chunk.reply_id == gone))
        present = set((await session.scalars(select(Chunk.id))).all())
        lost_ids = (await session.scalars(select(Chunk.id).where(Chunk.reply_id == lost))).all()
    async with chroma_at(tmp_path / "chroma") as chroma:
        await chroma.delete(lost_ids)
        assert await chroma.ids() != present

    knowledge = await open_knowledge()
    assert await knowledge.sync() == 0
    await knowledge.close()
    async with chroma_at(tmp_path / "chroma") as chroma:
        assert await chroma.ids() == present


async def test_another_embedding_model_is_refused_until_everything_is_embedded_again(
    open_knowledge: OpenKnowledge, approve: Approve, tmp_path: Path
) -> None:
    reply_id = await approve("How long is delivery?", "Three days.")
    async with chroma_at(tmp_path / "chroma", model="bge-m3") as chroma:
        await chroma.write(ChunkKind.pair, [1], np.ones((1, 1024), np.float32))
    with pytest.raises(EmbeddingModelChangedError, match=r"'bge-m3'.*'multilingual.*nod reindex"):
        await open_knowledge()
    knowledge = await open_knowledge(may_rebuild=True)
    assert await knowledge.sync() == 0
    [found] = await knowledge.retrieve("how long is delivery")
    assert found.similarity is not None
    assert found.reply_id == reply_id


async def test_another_dimension_under_the_same_name_is_refused_too(
    open_knowledge: OpenKnowledge, approve: Approve, tmp_path: Path
) -> None:
    async with chroma_at(tmp_path / "chroma") as chroma:
        await chroma.write(ChunkKind.pair, [999], np.ones((1, 32), np.float32))
    knowledge = await open_knowledge()
    reply_id = await approve("How long is delivery?", "Three days.")
    with pytest.raises(EmbeddingModelChangedError, match=r"32 dimensions.*384"):
        await knowledge.learn(reply_id)
    [found] = await knowledge.retrieve("delivery, how long?")  # customers are still answered
    assert found.similarity is None
    assert await knowledge.reindex() == 0
    [found] = await knowledge.retrieve("delivery, how long?")
    assert found.similarity is not None


async def test_a_second_process_on_the_folder_works_by_words_alone(
    open_knowledge: OpenKnowledge, approve: Approve
) -> None:
    first, second = await open_knowledge(), await open_knowledge()
    await second.learn(await approve("How long is delivery?", "Three days."))
    [found] = await second.retrieve("delivery")
    assert (found.text, found.similarity) == ("Three days.", None)
    assert await first.sync() == 0
    [found] = await first.retrieve("delivery")
    assert found.similarity is not None


async def test_a_very_long_query_and_an_empty_one_are_answered(
    knowledge: Knowledge, approve: Approve
) -> None:
    await knowledge.learn(await approve("How long is delivery?", "Three days."))
    assert await knowledge.retrieve("delivery " * 12_000)
    assert await knowledge.retrieve(" \n") == []
    assert await knowledge.nearest_approved("") is None


async def test_what_is_learnt_while_the_table_is_read_stays_in_both_indexes(
    knowledge: Knowledge, approve: Approve, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply_id = await approve("How long is delivery?", "Three days.")
    index, read = knowledge._index, knowledge._database.read

    @asynccontextmanager
    async def read_slowly() -> AsyncIterator[AsyncSession]:
        async with read() as session:
            yield session
        monkeypatch.undo()
        await knowledge.learn(reply_id)

    monkeypatch.setattr(knowledge._database, "read", read_slowly)
    await index.read_anew()
    assert len(await index.dense.ids()) == len(index.lexical) == 1
