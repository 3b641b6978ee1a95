"""Review in Telegram: drafts are announced once, verdicts are taken once, edits stay edits."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from bot.channels.telegram import Telegram
from store import Reply, ReplyStatus, Review, Role, Turn, UserRole, Verdict
from tests.bot.running_bot import Bot, eventually
from tests.bot.running_telegram import PRIVATE, REVIEWER, add_user, talking, written
from tests.bot.telegram_server import TelegramServer
from tests.bot.verdicts import QUESTION, judge, put_held, undo


async def ask_for_an_edit(
    bot: Bot, server: TelegramServer, role: UserRole = UserRole.reviewer
) -> None:
    """A customer asks, and the reviewer presses Edit."""
    await bot.switch("mode", "base")
    await bot.switch("policy", "hold")
    await add_user(bot, role)
    server.write(QUESTION)
    await written(server, 1, REVIEWER)
    server.press("Edit", sender=REVIEWER)
    await written(server, 2, REVIEWER)


async def test_a_command_is_not_sent_to_the_customer_as_an_edit(
    bot: Bot, telegram: Telegram, server: TelegramServer
) -> None:
    await ask_for_an_edit(bot, server, UserRole.operator)
    server.write("/mode", chat_id=REVIEWER)
    assert (await written(server, 3, REVIEWER))[2].startswith("The mode is base.")
    server.write("Five days.", chat_id=REVIEWER)
    assert await written(server, 1) == ["Five days."]


@pytest.mark.parametrize(
    ("button", "verdict", "status"),
    [
        ("Approve", Verdict.approved, ReplyStatus.sent),
        ("Reject", Verdict.rejected, ReplyStatus.withdrawn),
        ("Edit", Verdict.edited, ReplyStatus.sent),
    ],
)
async def test_a_reviewer_decides_with_a_button(
    button: str,
    verdict: Verdict,
    status: ReplyStatus,
    bot: Bot,
    telegram: Telegram,
    server: TelegramServer,
) -> None:
    await bot.switch("mode", "base")
    await bot.switch("policy", "hold")
    await add_user(bot, UserRole.reviewer)
    server.write(QUESTION)
    assert QUESTION in (await written(server, 1, REVIEWER))[0]
    assert server.texts_in(PRIVATE) == []
    server.press(button, sender=REVIEWER)
    if button == "Edit":
        await written(server, 2, REVIEWER)
        server.write("Five days.", chat_id=REVIEWER)

    async def is_done() -> bool:
        return (await bot.replies(str(PRIVATE)))[0].status is status

    await eventually(is_done)
    async with bot.database.read() as session:
        review = await session.get_one(Review, 1)
    assert (review.verdict, review.reviewer) == (verdict, "rita")
    if button == "Edit":
        assert server.texts_in(PRIVATE) == ["Five days."]


async def test_a_second_verdict_is_told_who_was_faster(
    bot: Bot, telegram: Telegram, server: TelegramServer
) -> None:
    await bot.switch("mode", "base")
    await bot.switch("policy", "hold")
    await add_user(bot, UserRole.reviewer)
    server.write(QUESTION)
    await written(server, 1, REVIEWER)
    server.press("Reject", sender=REVIEWER)
    server.press("Approve", sender=REVIEWER)

    async def both_answered() -> bool:
        return len(server.called("answerCallbackQuery")) == 2

    await eventually(both_answered)
    assert "rita has rejected this reply already" in server.called("answerCallbackQuery")[1]["text"]


async def heard(bot: Bot) -> list[str]:
    async with bot.database.read() as session:
        said = await session.scalars(select(Turn.text).where(Turn.role == Role.customer))
        return list(said)


async def test_an_edit_whose_confirmation_was_not_taken_is_no_question_of_the_reviewers(
    bot: Bot, telegram: Telegram, server: TelegramServer
) -> None:
    await ask_for_an_edit(bot, server)
    server.gates["sendMessage"] = gate = asyncio.Event()  # the reply waits behind it
    server.refuse("sendMessage", 502, "Bad Gateway")
    server.refuse("sendMessage", 502, "Bad Gateway")
    server.write("Five days.", chat_id=REVIEWER)
    gate.set()
    assert (await written(server, 3, REVIEWER))[2].endswith("edited.")
    assert await written(server, 1) == ["Five days."]
    assert await heard(bot) == [QUESTION]


async def test_an_edit_that_telegram_delivers_again_after_a_kill_is_still_the_edit(
    bot: Bot, server: TelegramServer
) -> None:
    async with talking(bot, server):
        await ask_for_an_edit(bot, server)
        server.write("Five days.", chat_id=REVIEWER)
        assert await written(server, 1) == ["Five days."]
        await written(server, 3, REVIEWER)
    async with talking(bot, server):
        server.write_again()
        await written(server, 4, REVIEWER)
        server.write("Hello?", chat_id=REVIEWER)
        await eventually(lambda: _is_heard(bot, "Hello?"))
    assert await heard(bot) == [QUESTION, "Hello?"]
    assert server.texts_in(PRIVATE) == ["Five days."]


async def _is_heard(bot: Bot, text: str) -> bool:
    return text in await heard(bot)


async def test_a_draft_that_is_held_again_is_announced_again_and_a_new_one_too(
    bot: Bot, telegram: Telegram, server: TelegramServer
) -> None:
    await add_user(bot, UserRole.reviewer)
    first = await put_held(bot.database)
    second = await put_held(bot.database, "bob")
    shown = await written(server, 2, REVIEWER)
    assert [f"Draft {each}:" in text for each, text in zip((first, second), shown, strict=True)]
    await undo(bot, await judge(bot, first, Verdict.rejected))
    assert f"Draft {first}:" in (await written(server, 3, REVIEWER))[2]
    await asyncio.sleep(1.5)
    assert len(server.texts_in(REVIEWER)) == 3, "each is told once"


async def test_who_may_review_later_is_told_of_what_still_waits(
    bot: Bot, telegram: Telegram, server: TelegramServer
) -> None:
    reply_id = await put_held(bot.database)
    await asyncio.sleep(1.5)
    await add_user(bot, UserRole.reviewer)
    assert f"Draft {reply_id}:" in (await written(server, 1, REVIEWER))[0]


@pytest.mark.parametrize("button", ["Approve", "Edit", "Reject"])
async def test_a_button_decides_nothing_about_another_reply_of_the_same_id(
    button: str, bot: Bot, telegram: Telegram, server: TelegramServer
) -> None:
    """The database came back from a backup, and gave the id once more."""
    await add_user(bot, UserRole.reviewer)
    reply_id = await put_held(bot.database)
    await written(server, 1, REVIEWER)
    async with bot.database.write() as session:
        reply = await session.get_one(Reply, reply_id)
        later = reply.created_at + timedelta(hours=1)
        await session.execute(update(Reply).values(created_at=later))
    server.press(button, sender=REVIEWER)
    await eventually(lambda: _is(bool(server.called("answerCallbackQuery"))))
    assert "console" in server.called("answerCallbackQuery")[0]["text"]
    assert len(server.texts_in(REVIEWER)) == 1
    async with bot.database.read() as session:
        assert (await session.get_one(Reply, reply_id)).status is ReplyStatus.held


async def _is(value: bool) -> bool:
    return value
