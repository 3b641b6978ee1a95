"""What was approved is read as it was said, and with few questions to the database."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import event

from bot.turns import HISTORY_TURNS, append_turn, lock_conversation
from finetune.examples import history_of, read_approved
from store import Conversation, Database, Reply, ReplyStatus, Role, Way, conversation_id
from tests.finetune.shop import approve, approve_many


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """The statements that are asked meanwhile."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def test_more_replies_are_not_more_questions_to_the_database(database: Database) -> None:
    counts = []
    for count in (4, 15):
        await approve_many(database, count)
        async with database.read() as session:
            with counted(database) as asked:
                found = await read_approved(session)
        counts.append((len(asked), len(found)))
    assert counts[0][0] == counts[1][0] <= 3
    assert counts[1][1] > counts[0][1] + 20


async def test_a_history_is_the_same_read_alone_and_with_all_others(
    any_database: Database,
) -> None:
    """Notices, a late answer, a /reset and more turns than are read back among it."""
    for number in range(HISTORY_TURNS // 2 + 3):
        await approve(any_database, f"Question {number}?", f"Answer {number}.", address="long")
    for number in range(3):
        await approve(any_database, f"First {number}?", f"Said {number}.", address="odd")
        await say(any_database, "odd", f"Notice {number}.", Way.notice)
        await say(any_database, "odd", f"Person {number}.", Way.person)
    async with any_database.write() as session:
        odd = await session.get_one(Conversation, conversation_id("web", "odd"))
        odd.context_from_seq = 6
    async with any_database.read() as session:
        approved = await read_approved(session)
        alone = [await history_of(session, example.reply_id) for example in approved]
    assert [example.history for example in approved] == alone
    assert max(len(history) for history in alone) == HISTORY_TURNS
    assert len({str(history) for history in alone}) > HISTORY_TURNS // 2
    assert "Notice" not in str(alone)
    assert "Person 1." in str(alone)


async def say(database: Database, address: str, text: str, way: Way) -> None:
    """An answer that came only after the customer had written on."""
    async with database.write() as session:
        id_ = (await session.run_sync(lock_conversation, "web", address)).id
        question = await session.run_sync(append_turn, id_, Role.customer, f"{text}?")
        await session.run_sync(append_turn, id_, Role.customer, "Are you there?")
        reply = Reply(
            conversation_id=id_, turn_id=question.id, text=text, status=ReplyStatus.sent, way=way
        )
        session.add(reply)
        await session.flush()
        await session.run_sync(append_turn, id_, Role.bot, text, reply_id=reply.id)
