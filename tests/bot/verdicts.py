"""A question with its answer in the store, and verdicts on it: given, changed and taken back."""

from sqlalchemy import select

from bot.reconsider import change_verdict, take_back
from bot.review import decide
from bot.turns import append_reply_turn, append_turn, lock_conversation
from store import AuditEntry, Database, Reply, ReplyStatus, Review, Role, Verdict, Way
from tests.bot.running_bot import Bot

QUESTION, ANSWER, EDIT = "How long does delivery take?", "Nine years.", "Five days."


async def put_held(database: Database, address: str = "ann") -> int:
    """A question, and its answer that waits for a verdict; the reply's id."""
    return await _put(database, address, status=ReplyStatus.held)


async def put_ready(database: Database, address: str = "ann", **values: object) -> int:
    """A question, and its answer that is sent at once and queued for review; the reply's id."""
    return await _put(database, address, status=ReplyStatus.ready, **values)


async def _put(database: Database, address: str, *, status: ReplyStatus, **values: object) -> int:
    async with database.write() as session:
        conversation = await session.run_sync(lock_conversation, "test", address)
        turn = await session.run_sync(append_turn, conversation.id, Role.customer, QUESTION)
        reply = Reply(
            conversation_id=conversation.id,
            turn_id=turn.id,
            draft=ANSWER,
            text=ANSWER,
            status=status,
            needs_review=True,
            way=Way.base,
            **values,
        )
        session.add(reply)
        await session.flush()
        if status is ReplyStatus.ready:
            await session.run_sync(append_reply_turn, reply)
        return reply.id


async def judge(
    bot: Bot, reply_id: int, verdict: Verdict, text: str | None = None, who: str = "rita"
) -> Review:
    return await decide(bot.database, bot.knowledge, reply_id, verdict, text=text, reviewer=who)


async def change(
    bot: Bot, seen: Review, verdict: Verdict, text: str | None = None, who: str = "omar"
) -> Review:
    return await change_verdict(
        bot.database, bot.knowledge, seen.reply_id, verdict, seen=seen, text=text, reviewer=who
    )


async def undo(bot: Bot, seen: Review, who: str = "rita") -> Reply:
    return await take_back(bot.database, bot.knowledge, seen.reply_id, seen=seen, who=who)


async def reply_of(bot: Bot, reply_id: int) -> Reply:
    async with bot.database.read() as session:
        return await session.get_one(Reply, reply_id)


async def review_of(bot: Bot, reply_id: int) -> Review | None:
    async with bot.database.read() as session:
        return await session.scalar(select(Review).where(Review.reply_id == reply_id))


async def known(bot: Bot) -> str | None:
    """What the question is answered with, word for word, also after a look at every row."""
    match = await bot.knowledge.nearest_approved(QUESTION)
    await bot.knowledge.sync()
    again = await bot.knowledge.nearest_approved(QUESTION)
    assert (match and match.answer) == (again and again.answer)
    return match.answer if match and match.similarity == 1.0 else None


async def found_by_words_and_meaning(bot: Bot) -> list[str]:
    return [chunk.text for chunk in await bot.knowledge.retrieve(QUESTION)]


async def deliver(bot: Bot, count: int) -> list[str]:
    async with bot.at_work():
        return await bot.delivered(count)


async def changes(bot: Bot) -> list[tuple[str, str, str]]:
    wanted = select(AuditEntry).where(AuditEntry.action == "change_verdict").order_by(AuditEntry.id)
    async with bot.database.read() as session:
        entries = await session.scalars(wanted)
        return [(each.who, each.detail["before"], each.detail["after"]) for each in entries]
