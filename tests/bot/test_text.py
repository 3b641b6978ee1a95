"""What no database keeps, on its way through the bot: from a customer, a model and a reviewer."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import openai

from app.pairs import import_pairs, read_pairs
from bot.completion import complete
from bot.masks import new_default
from bot.review import answer_as_person, decide
from store import Reply, Verdict, conversation_id
from tests.bot.running_bot import Bot, eventually

SPOILT = "In\0 five \ud83d\ude00 days\ud800"
CLEANED = "In five 😀 days\ufffd"


class SpoiltStream(httpx2.AsyncByteStream):
    """A completion in three pieces, the second of which ends within a surrogate pair."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in ("In\0 five \ud83d", "\ude00 days\ud800", ""):
            choice = {"index": 0, "delta": {"content": piece}, "finish_reason": None}
            chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
            yield f"data: {json.dumps(chunk | {'choices': [choice]})}\n\n".encode()
        yield b"data: [DONE]\n\n"


async def test_a_models_spoilt_words_are_cleaned_before_anybody_sees_them() -> None:
    def answer(_request: httpx2.Request) -> httpx2.Response:
        headers = {"content-type": "text/event-stream"}
        return httpx2.Response(200, headers=headers, stream=SpoiltStream())

    shown: list[str] = []

    async def show(text: str) -> None:
        shown.append(text)

    http = openai.DefaultAsyncHttpxClient(transport=httpx2.MockTransport(answer))
    async with openai.AsyncOpenAI(base_url="http://m/v1", api_key="n", http_client=http) as client:
        completion = await complete(client, "m", [], new_default(), timeout_s=60, on_text=show)
    assert completion.text == CLEANED
    assert shown == ["In five \ufffd", CLEANED]  # what is shown first is put right by the next


async def test_a_customers_spoilt_words_are_answered(bot_anywhere: Bot) -> None:
    bot = bot_anywhere
    await bot.hear(f"Do you deliver? {SPOILT}")
    async with bot.at_work():
        await bot.delivered(1)
    assert (await bot.turns())[0].text == f"Do you deliver? {CLEANED}"


async def test_a_spoilt_edit_is_sent_and_learned_cleaned(bot_anywhere: Bot) -> None:
    bot = bot_anywhere
    await bot.switch("policy", "hold")
    await bot.switch("mode", "base")
    await bot.hear("Do you deliver?")

    async def is_there() -> bool:
        return bool(await bot.replies())

    async with bot.at_work():
        await eventually(is_there)
        (reply,) = await bot.replies()
        for _ in range(2):  # the same verdict again is no other
            await decide(
                bot.database, bot.knowledge, reply.id, Verdict.edited, text=SPOILT,
                phrasings=[f"Shipping? {SPOILT}", "\0"], reason=SPOILT, reviewer="rita",
            )  # fmt: skip
        assert await bot.delivered(1) == [CLEANED]
        await answer_as_person(
            bot.database, conversation_id("test", "ann"), f"Hello {SPOILT}", who="rita"
        )
        assert (await bot.delivered(2))[1] == f"Hello {CLEANED}"
    match = await bot.knowledge.nearest_approved(f"Shipping? {SPOILT}")
    assert match is not None
    assert match.answer == CLEANED


async def test_a_spoilt_pair_is_imported_cleaned(bot_anywhere: Bot, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    pair = {"question": f"When? {SPOILT}", "answer": SPOILT, "id": "a\0", "phrasings": [SPOILT]}
    path.write_text(json.dumps(pair))
    database = bot_anywhere.database
    for added in (1, 0):
        pairs = read_pairs(path)
        assert await import_pairs(database, pairs, channel="import", source=path.name) == added
    async with database.read() as session:
        reply = await session.get_one(Reply, 1)
    assert (reply.text, reply.phrasings) == (CLEANED, [CLEANED])
