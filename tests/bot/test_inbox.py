"""What the inbox does with a message before any model sees it."""

import asyncio

import pytest
from sqlalchemy import func, select

from bot.inbox import MAX_TEXT_CHARS, Inbox
from bot.message import Message
from bot.phrases import Phrase
from bot.review import give_back, take_over
from bot.turns import append_reply_turn, read_history
from store import (
    Conversation,
    Database,
    Reply,
    ReplyStatus,
    Role,
    Turn,
    TurnState,
    Way,
    conversation_id,
)

ANN = conversation_id("test", "ann")


def message(text: str, **more: str) -> Message:
    return Message(channel="test", address="ann", text=text, **more)


async def only_reply(database: Database) -> Reply:
    async with database.read() as session:
        return (await session.scalars(select(Reply))).one()


async def test_a_message_is_a_turn_that_waits_for_any_worker(database: Database) -> None:
    turn = await Inbox(database).receive(message("Hello?", customer_name="Ann Lee"))
    assert turn is not None
    assert (turn.seq, turn.role, turn.state) == (1, Role.customer, TurnState.waiting)
    async with database.read() as session:
        assert (await session.get_one(Conversation, ANN)).customer_name == "Ann Lee"


async def test_the_same_delivery_many_times_at_once_is_one_turn(any_database: Database) -> None:
    inbox = Inbox(any_database)
    heard = await asyncio.gather(
        *(inbox.receive(message("Hello?", delivery_id="1")) for _ in range(8))
    )
    assert sum(turn is not None for turn in heard) == 1
    async with any_database.read() as session:
        assert await session.scalar(select(func.count(Turn.id))) == 1


async def test_messages_at_once_in_one_conversation_get_places_of_their_own(
    any_database: Database,
) -> None:
    inbox = Inbox(any_database)
    turns = await asyncio.gather(*(inbox.receive(message(str(i))) for i in range(8)))
    assert sorted(turn.seq for turn in turns if turn) == list(range(1, 9))


@pytest.mark.parametrize(
    ("sent", "phrase"),
    [
        (message(""), Phrase.empty.like("")),
        (message(" \n\0"), Phrase.empty.like("")),
        (message("/start"), Phrase.welcome.like("")),
        (message("/Start ref_42"), Phrase.welcome.like("")),
        (message("/help me"), Phrase.help.like("")),
        (message("", attachment="photo"), Phrase.attachment.like("", attachment="photo")),
        (
            message("x" * 100_000),
            Phrase.too_long.like("", length=100_000, limit=MAX_TEXT_CHARS),
        ),
        (
            message("床" * 100_000),
            Phrase.too_long.like("床", length=100_000, limit=MAX_TEXT_CHARS),
        ),
    ],
)
async def test_what_no_model_can_answer_gets_a_polite_reply(
    database: Database, sent: Message, phrase: str
) -> None:
    turn = await Inbox(database).receive(sent)
    assert turn is not None
    assert turn.state is TurnState.answered
    assert len(turn.text) <= MAX_TEXT_CHARS
    reply = await only_reply(database)
    assert (reply.text, reply.status, reply.way) == (phrase, ReplyStatus.ready, Way.notice)


@pytest.mark.parametrize("text", ["/reset my router", "/forget it", "/started", "start"])
async def test_what_only_looks_like_a_command_is_a_question(database: Database, text: str) -> None:
    turn = await Inbox(database).receive(message(text))
    assert turn is not None
    assert turn.state is TurnState.waiting


async def test_a_picture_with_words_is_answered_by_its_words(database: Database) -> None:
    turn = await Inbox(database).receive(message("What is this?", attachment="photo"))
    assert turn is not None
    assert turn.state is TurnState.waiting


async def test_after_reset_nothing_before_it_is_history(database: Database) -> None:
    inbox = Inbox(database)
    await inbox.receive(message("my name is Ann"))
    await inbox.receive(message("/reset"))
    turn = await inbox.receive(message("who am I?"))
    assert turn is not None
    async with database.read() as session:
        conversation = await session.get_one(Conversation, ANN)
        since = conversation.context_from_seq
        assert await session.run_sync(read_history, turn, from_seq=since) == []
    assert (await only_reply(database)).text == Phrase.reset.like("")


async def test_while_a_person_answers_messages_are_only_stored(database: Database) -> None:
    inbox = Inbox(database)
    await inbox.receive(message("Hello?"))
    await take_over(database, ANN, who="rita")
    for text in ("Are you there?", "", "/reset"):
        turn = await inbox.receive(message(text))
        assert turn is not None
        assert turn.state is TurnState.answered
    await give_back(database, ANN, who="rita")
    turn = await inbox.receive(message("And now?"))
    assert turn is not None
    assert turn.state is TurnState.waiting
    async with database.read() as session:
        assert await session.scalar(select(func.count(Reply.id))) == 0


def test_an_address_that_the_store_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match=r"address=.* more than 255"):
        Message(channel="test", address="a" * 256, text="Hello")


async def test_an_answer_stands_with_its_question_though_the_customer_wrote_on(
    database: Database,
) -> None:
    inbox = Inbox(database)
    first = await inbox.receive(message("How long?"))
    second = await inbox.receive(message("And how much?"))
    assert first is not None
    assert second is not None
    async with database.write() as session:
        reply = Reply(
            conversation_id=ANN,
            turn_id=first.id,
            text="Five days.",
            status=ReplyStatus.ready,
            way=Way.base,
        )
        session.add(reply)
        await session.flush()
        await session.run_sync(append_reply_turn, reply)
    async with database.read() as session:
        assert await session.run_sync(read_history, second) == [
            {"role": "user", "content": "How long?"},
            {"role": "assistant", "content": "Five days."},
        ]
