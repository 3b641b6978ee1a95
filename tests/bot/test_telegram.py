"""The Telegram channel, over real HTTP against a Bot API server of our own."""

import asyncio
import logging

import pytest
from sqlalchemy import select

from bot.channels.telegram import Telegram, TelegramTokenError, check_token, open_bot
from bot.channels.telegram_delivery import TelegramChannel
from bot.phrases import Phrase
from bot.review import answer_as_person
from store import (
    Mode,
    ReplyStatus,
    Role,
    Thumb,
    UserRole,
    conversation_id,
)
from store.switches import read_switches
from tests.bot.conftest import Teach
from tests.bot.running_bot import Bot, eventually
from tests.bot.running_telegram import (
    GROUP,
    PRIVATE,
    REVIEWER,
    add_user,
    make_telegram,
    talking,
    written,
)
from tests.bot.telegram_server import TOKEN, TelegramServer

QUESTION = "How long does delivery of a mattress take?"
ANSWER = "Delivery takes **five** working days."


async def test_a_question_in_a_private_chat_is_answered_with_entities(
    bot: Bot, teach: Teach, server: TelegramServer
) -> None:
    await teach(QUESTION, ANSWER)
    async with talking(bot, server):
        server.write(QUESTION)
        assert await written(server, 1) == ["Delivery takes five working days."]
    (sent,) = server.called("sendMessage")
    assert [(each["type"], each["offset"], each["length"]) for each in sent["entities"]] == [
        ("bold", 15, 4)
    ]


async def test_a_repeated_update_is_answered_once(
    bot: Bot, telegram: Telegram, server: TelegramServer
) -> None:
    server.write(QUESTION)
    server.write_again()
    server.write("/help")
    await written(server, 2)
    turns = await bot.turns(str(PRIVATE))
    assert [turn.text for turn in turns if turn.role is Role.customer] == [QUESTION, "/help"]


async def test_an_answer_streams_as_a_draft_before_it_is_sent(
    bot: Bot, telegram: Telegram, server: TelegramServer
) -> None:
    await bot.switch("mode", "base")
    server.write(QUESTION)
    (text,) = await written(server, 1)
    drafts = server.called("sendMessageDraft")
    assert drafts
    assert all(text.startswith(draft["text"]) for draft in drafts)
    assert [name for name, _ in server.calls if name.startswith("sendM")][-1] == "sendMessage"


async def test_in_a_group_the_preview_becomes_the_reply(
    bot: Bot, telegram: Telegram, server: TelegramServer
) -> None:
    await bot.switch("mode", "base")
    server.write(f"/nothing@nod_test_bot {QUESTION}", chat_id=GROUP, sender=PRIVATE)

    async def is_sent() -> bool:
        replies = await bot.replies(str(GROUP))
        return bool(replies) and replies[0].status is ReplyStatus.sent

    await eventually(is_sent)
    (reply,) = await bot.replies(str(GROUP))
    assert server.texts_in(GROUP) == [reply.text]
    assert server.called("sendMessageDraft") == []


async def test_in_a_group_a_reply_that_was_refused_once_still_replaces_its_preview(
    bot: Bot, telegram: Telegram, server: TelegramServer
) -> None:
    await bot.switch("mode", "base")
    server.refuse("editMessageText", 429, "Too Many Requests: retry after 1", retry_after=1)
    server.write(f"/nothing@nod_test_bot {QUESTION}", chat_id=GROUP, sender=PRIVATE)

    async def is_sent() -> bool:
        replies = await bot.replies(str(GROUP))
        return bool(replies) and replies[0].status is ReplyStatus.sent

    await eventually(is_sent)
    (reply,) = await bot.replies(str(GROUP))
    assert reply.attempts == 2
    assert server.texts_in(GROUP) == [reply.text]


async def test_a_preview_is_shown_in_no_other_chat(server: TelegramServer) -> None:
    channel = TelegramChannel(open_bot(TOKEN, server.url))
    assert channel.preview("7", 1) is channel.preview("7", 1)
    assert channel.preview("7", 1) is not channel.preview("8", 1)


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        ({"text": "/start"}, Phrase.welcome.like("")),
        ({"text": "/help@nod_test_bot"}, Phrase.help.like("")),
        ({"text": "/reset"}, Phrase.reset.like("")),
        (
            {
                "text": "",
                "sticker": {
                    "file_id": "1",
                    "file_unique_id": "1",
                    "type": "regular",
                    "width": 1,
                    "height": 1,
                    "is_animated": False,
                    "is_video": False,
                },
            },
            Phrase.attachment.like("", attachment="sticker"),
        ),
    ],
)
async def test_commands_and_attachments_get_their_fixed_reply(
    content: dict[str, object], phrase: str, telegram: Telegram, server: TelegramServer
) -> None:
    server.write(**content)  # type: ignore[arg-type]
    assert await written(server, 1) == [phrase]


async def test_operators_switch_the_mode_and_others_do_not(
    bot: Bot, telegram: Telegram, server: TelegramServer
) -> None:
    await add_user(bot, UserRole.operator)
    server.write("/mode hybrid", chat_id=REVIEWER)
    assert "hybrid" in (await written(server, 1, REVIEWER))[0]
    server.write("/mode nonsense", chat_id=REVIEWER)
    assert "one of base, retrieval" in (await written(server, 2, REVIEWER))[1]
    server.write("/mode base", chat_id=PRIVATE)
    await written(server, 1, PRIVATE)
    async with bot.database.read() as session:
        assert (await read_switches(session)).mode is Mode.hybrid


async def test_anybody_is_told_the_id_that_an_owner_links(
    telegram: Telegram, server: TelegramServer
) -> None:
    server.write("/id", chat_id=PRIVATE)
    assert f"nod users link-telegram NAME {PRIVATE}" in (await written(server, 1))[0]
    server.write("/id@nod_test_bot", chat_id=GROUP, sender=REVIEWER)
    assert f"is {REVIEWER}." in (await written(server, 1, GROUP))[0]


async def test_a_flood_limit_is_waited_for_and_the_reply_sent_once(
    bot: Bot, telegram: Telegram, server: TelegramServer
) -> None:
    server.refuse("sendMessage", 429, "Too Many Requests: retry after 1", retry_after=1)
    server.write("/help")
    assert await written(server, 1) == [Phrase.help.like("")]


async def test_a_customer_who_blocked_the_bot_is_given_up_with_the_reason(
    bot: Bot, telegram: Telegram, server: TelegramServer
) -> None:
    server.refuse("sendMessage", 403, "Forbidden: bot was blocked by the user")
    server.write("/help")

    async def has_failed() -> bool:
        replies = await bot.replies(str(PRIVATE))
        return bool(replies) and replies[0].status is ReplyStatus.failed

    await eventually(has_failed)
    assert "blocked" in ((await bot.replies(str(PRIVATE)))[0].error or "")


async def test_an_update_is_confirmed_only_once_it_is_stored(
    bot: Bot, server: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends while it stores the first message: a new one gets it again."""
    telegram = make_telegram(bot, server)
    server.write(QUESTION)
    reached = asyncio.Event()

    async def never(_message: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as broken:
        broken.setattr(bot.inbox, "receive", never)
        task = asyncio.create_task(telegram.run())
        await asyncio.wait_for(reached.wait(), 20)
        task.cancel()
        await asyncio.wait([task])
    await telegram.close()
    async with talking(bot, server):
        await written(server, 1)
    turns = await bot.turns(str(PRIVATE))
    assert turns[0].text == QUESTION


async def test_a_long_reply_goes_out_in_parts_and_goes_on_where_it_stopped(
    bot: Bot, telegram: Telegram, server: TelegramServer
) -> None:
    server.write("/start")
    await written(server, 1)
    said = "word " * 1200
    here = conversation_id("telegram", str(PRIVATE))
    await answer_as_person(bot.database, here, said, who="olga")
    (_, first, second) = await written(server, 3)
    assert (first + " " + second).split() == said.split()


async def test_a_wrong_token_is_a_clear_error_without_the_token(
    bot: Bot, server: TelegramServer, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = "999:wrong-and-secret"
    with pytest.raises(TelegramTokenError, match="NOD_TELEGRAM_TOKEN"):
        await check_token(open_bot(wrong, server.url))
    telegram = Telegram(bot.database, bot.knowledge, bot.inbox, token=wrong, base_url=server.url)
    with caplog.at_level(logging.INFO), pytest.raises(TelegramTokenError, match="@BotFather"):
        await asyncio.wait_for(telegram.run(), 20)
    assert "wrong-and-secret" not in caplog.text


async def test_a_customer_rates_an_answer_with_a_button_of_their_own_chat(
    bot: Bot, telegram: Telegram, server: TelegramServer
) -> None:
    await bot.switch("mode", "base")
    server.write(QUESTION)
    await written(server, 1)
    server.press("👎", sender=PRIVATE)

    async def thumbs() -> list[bool]:
        async with bot.database.read() as session:
            return list(await session.scalars(select(Thumb.is_up)))

    async def is_down() -> bool:
        return await thumbs() == [False]

    await eventually(is_down)
    server.press("👍", sender=PRIVATE)

    async def is_up() -> bool:
        return await thumbs() == [True]

    await eventually(is_up)
    assert [each["text"] for each in server.called("answerCallbackQuery")] == ["👎", "👍"]


async def test_a_fixed_text_is_not_for_rating(
    bot: Bot, telegram: Telegram, server: TelegramServer
) -> None:
    server.write("/help")
    await written(server, 1)
    assert "reply_markup" not in server.called("sendMessage")[0]
