"""Delivery: what is retried, what is given up, and what is never sent twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from bot import outbox as outbox_module
from bot.channel import PermanentDeliveryError, TransientDeliveryError
from bot.outbox import Outbox
from bot.turns import lock_conversation
from store import Database, Reply, ReplyStatus, Way, utc_now
from tests.bot.running_bot import RememberingChannel, eventually


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "FIRST_RETRY_S", 0.01)


@pytest.fixture
def channel() -> RememberingChannel:
    return RememberingChannel()


async def put(database: Database, text: str, address: str = "ann", **values: object) -> int:
    async with database.write() as session:
        conversation = await session.run_sync(lock_conversation, "test", address)
        given = {"status": ReplyStatus.ready, "way": Way.base} | values
        reply = Reply(conversation_id=conversation.id, text=text, **given)
        session.add(reply)
        await session.flush()
        return reply.id


async def read(database: Database, reply_id: int) -> Reply:
    async with database.read() as session:
        return await session.get_one(Reply, reply_id)


async def ended(database: Database, reply_id: int) -> Reply:
    async def has_ended() -> bool:
        reply = await read(database, reply_id)
        return reply.status in (ReplyStatus.sent, ReplyStatus.failed)

    await eventually(has_ended)
    return await read(database, reply_id)


@asynccontextmanager
async def at_work(
    database: Database, channel: RememberingChannel, owner: str | None = None
) -> AsyncIterator[None]:
    outbox = Outbox(database, {channel.name: channel}, owner=owner)
    task = asyncio.create_task(outbox.run())
    yield
    outbox.stop()
    await task


async def test_a_refusal_that_may_pass_is_tried_again_from_the_part_it_stopped_at(
    any_database: Database, channel: RememberingChannel
) -> None:
    reply_id = await put(any_database, "one\n---\ntwo\n---\nthree")
    channel.refusals = [None, TransientDeliveryError("flood"), None]
    async with at_work(any_database, channel):
        reply = await ended(any_database, reply_id)
    assert channel.texts == ["one", "two", "three"]
    assert reply.sent_parts == ["part-0", "part-1", "part-2"]
    assert reply.attempts == 2


async def test_what_can_never_be_delivered_is_given_up_with_the_reason(
    database: Database, channel: RememberingChannel
) -> None:
    reply_id = await put(database, "Hello")
    channel.refusals = [PermanentDeliveryError("the customer has blocked the bot")]
    async with at_work(database, channel):
        reply = await ended(database, reply_id)
    assert (reply.status, reply.error) == (ReplyStatus.failed, "the customer has blocked the bot")
    assert reply.attempts == 1


@pytest.mark.parametrize(
    "refusal", [TransientDeliveryError("flood"), RuntimeError("a fault of ours")]
)
async def test_a_later_reply_waits_for_the_one_before_it(
    database: Database, channel: RememberingChannel, refusal: Exception
) -> None:
    channel.refusals = [refusal]
    await put(database, "first")
    last = await put(database, "second")
    async with at_work(database, channel):
        await ended(database, last)
    assert channel.texts == ["first", "second"]


async def test_the_channel_says_how_long_to_wait(
    database: Database, channel: RememberingChannel
) -> None:
    reply_id = await put(database, "Hello")
    channel.refusals = [TransientDeliveryError("flood", retry_after_s=600)]

    async def was_tried() -> bool:
        return (await read(database, reply_id)).error is not None

    async with at_work(database, channel):
        await eventually(was_tried)
    reply = await read(database, reply_id)
    assert reply.status is ReplyStatus.ready
    assert reply.due_at > utc_now() + timedelta(seconds=590)


async def test_what_is_held_or_for_another_channel_stays(
    database: Database, channel: RememberingChannel
) -> None:
    held = await put(database, "held", status=ReplyStatus.held)
    sent = await put(database, "for us", "bob")
    other = RememberingChannel("other")
    async with at_work(database, other):
        await asyncio.sleep(0.05)
    assert other.taken == []
    async with at_work(database, channel):
        await ended(database, sent)
    assert channel.texts == ["for us"]
    assert (await read(database, held)).status is ReplyStatus.held


async def test_a_reply_left_in_sending_goes_on_from_the_parts_that_were_noted(
    database: Database, channel: RememberingChannel
) -> None:
    values = {"status": ReplyStatus.sending, "claimed_by": "nod", "sent_parts": ["part-0"]}
    far = utc_now() + timedelta(hours=1)
    mine = await put(database, "one\n---\ntwo", **values, claimed_until=far)
    past = {"claimed_by": "a dead one", "claimed_until": utc_now() - timedelta(hours=1)}
    dead = await put(database, "three\n---\nfour", "bob", **values | past)
    async with at_work(database, channel, owner="nod"):
        await ended(database, mine)
        await ended(database, dead)
    assert sorted(channel.texts) == ["four", "two"]
