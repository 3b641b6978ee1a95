"""A row that is stored without a session is the row that a session would have stored."""

import pytest
from sqlalchemy import bindparam, inspect
from sqlalchemy.exc import IntegrityError

from store import (
    Base,
    Conversation,
    Database,
    Executor,
    Reply,
    ReplyStatus,
    Turn,
    Way,
    fetch,
    insert,
)
from store.core import columns_of

OF_CONVERSATION = columns_of(Conversation).where(Conversation.id == bindparam("id"))


def columns(row: Base) -> dict[str, object]:
    return {column.key: getattr(row, column.key) for column in inspect(type(row)).columns}


def a_reply(**values: object) -> Reply:
    given = {"text": "Ten years.", "status": ReplyStatus.ready, "way": Way.base} | values
    return Reply(conversation_id="c1", **given)


@pytest.fixture
async def shop(database: Database) -> Database:
    await database.run_write(insert, Conversation(id="c1", channel="test", address="ann"))
    return database


async def test_an_inserted_row_has_its_id_and_every_default(shop: Database) -> None:
    reply = a_reply(prompt=[{"role": "user", "content": "How long?"}])
    await shop.run_write(insert, reply)
    async with shop.read() as session:
        stored = await session.get_one(Reply, reply.id)
    assert columns(stored) == columns(reply)
    assert stored.sent_parts == []
    assert stored.attempts == 0


async def test_two_rows_do_not_share_a_default(shop: Database) -> None:
    first, second = a_reply(), a_reply()
    await shop.run_write(insert, first)
    first.sent_parts.append("part 1")
    await shop.run_write(insert, second)
    assert second.sent_parts == []


async def test_a_fetched_row_is_whole(shop: Database) -> None:
    (found,) = await shop.run_read(fetch, Conversation, OF_CONVERSATION, {"id": "c1"})
    assert await shop.run_read(fetch, Conversation, OF_CONVERSATION, {"id": "c2"}) == []
    async with shop.read() as session:
        assert columns(await session.get_one(Conversation, "c1")) == columns(found)


async def test_an_act_that_raises_stores_nothing(shop: Database) -> None:
    def store_two(executor: Executor) -> None:
        insert(executor, a_reply())
        insert(executor, Turn(conversation_id="nobody", seq=1, text="Hello"))

    with pytest.raises(IntegrityError):
        await shop.run_write(store_two)
    async with shop.read() as session:
        assert await session.get(Reply, 1) is None


async def test_a_row_is_inserted_within_a_session_too(shop: Database) -> None:
    reply = a_reply()
    async with shop.write() as session:
        await session.run_sync(insert, reply)
    async with shop.read() as session:
        assert (await session.get_one(Reply, reply.id)).text == "Ten years."
