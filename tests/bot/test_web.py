"""The web chat over HTTP: who may post, what is stored, what the event stream tells."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy import func, select

from bot.channel import Outgoing
from bot.channels import web
from bot.channels.allowance import Allowance
from bot.channels.web_visitor import COOKIE
from bot.inbox import MAX_TEXT_CHARS, Inbox
from bot.review import answer_as_person, take_over
from bot.turns import append_reply_turn
from store import Conversation, Database, Reply, ReplyStatus, Turn, TurnState, Way


@dataclass
class Site:
    """A web server of its own, with the real inbox behind it."""

    database: Database
    inbox: Inbox
    channels: dict[str, Any] = field(default_factory=dict)
    url: str = ""

    @property
    def channel(self) -> web.WebChannel:
        return self.channels["web"]

    def visitor(self, **options: Any) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.url, timeout=10, **options)


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    site, app = Site(database, Inbox(database)), FastAPI()
    web.mount_web_chat(app, site)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    site.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield site
    await site.channel.close()
    server.should_exit = True
    await running


@pytest.fixture
async def visitor(site: Site) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser that has opened the page."""
    async with site.visitor() as client:
        assert (await client.get("/")).status_code == 200
        yield client


async def say(visitor: httpx2.AsyncClient, text: str, id_: str = "message-1") -> httpx2.Response:
    return await visitor.post("/chat/messages", json={"id": id_, "text": text})


@contextlib.asynccontextmanager
async def listening(
    visitor: httpx2.AsyncClient, after: int = 0
) -> AsyncIterator[AsyncIterator[tuple[str, dict[str, Any]]]]:
    headers = {"Last-Event-ID": str(after)} if after else {}
    async with visitor.stream("GET", "/chat/events", headers=headers) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        yield events_of(response)


async def events_of(response: httpx2.Response) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    name = ""
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def until(events: AsyncIterator[tuple[str, dict[str, Any]]], name: str, **wanted: Any) -> Any:
    async with asyncio.timeout(10):
        async for event, data in events:
            if event == name and wanted.items() <= data.items():
                return data
    raise AssertionError(f"the stream ended without {name} {wanted}")


async def count_turns(database: Database) -> int:
    async with database.read() as session:
        return await session.scalar(select(func.count(Turn.id))) or 0


async def the_turn(database: Database) -> Turn:
    async with database.read() as session:
        return (await session.scalars(select(Turn))).one()


async def answer(database: Database, turn: Turn, text: str) -> Reply:
    """What a worker anywhere writes when it has an answer."""
    async with database.write() as session:
        row = await session.get_one(Conversation, turn.conversation_id)
        reply = Reply(
            conversation_id=row.id,
            turn_id=turn.id,
            text=text,
            status=ReplyStatus.ready,
            way=Way.retrieval,
            sources=[
                {"kind": "pair", "title": "Approved replies", "source": "approved replies"},
                {"kind": "passage", "title": "Delivery", "source": "/secret/delivery.md"},
            ],
        )
        session.add(reply)
        await session.flush()
        await session.run_sync(append_reply_turn, reply)
        (await session.get_one(Turn, turn.id)).state = TurnState.answered
        return reply


async def test_the_page_may_load_nothing_foreign_and_run_nothing_inline(site: Site) -> None:
    async with site.visitor() as client:
        page = await client.get("/")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert "<script>" not in page.text
        assert "style=" not in page.text
        script = await client.get("/chat/page/chat.js")
        assert script.headers["content-type"].startswith("text/javascript")


async def test_the_visitors_secret_is_kept_from_scripts_and_stays_the_same(site: Site) -> None:
    async with site.visitor() as client:
        cookie = (await client.get("/")).headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        first = client.cookies[COOKIE]
        await client.get("/")
        assert client.cookies[COOKIE] == first
    async with site.visitor(cookies={COOKIE: "guessed"}) as client:
        await client.get("/")
        assert len(client.cookies.jar) >= 1
        assert first not in [cookie.value for cookie in client.cookies.jar]


async def test_the_address_does_not_give_the_secret_away(
    site: Site, visitor: httpx2.AsyncClient
) -> None:
    await say(visitor, "Hello")
    async with site.database.read() as session:
        address = await session.scalar(select(Conversation.address))
    assert address is not None
    assert visitor.cookies[COOKIE] not in address


async def test_a_message_sent_twice_is_stored_once(site: Site, visitor: httpx2.AsyncClient) -> None:
    assert (await say(visitor, "Do you deliver?")).status_code == 202
    assert (await say(visitor, "Do you deliver?")).status_code == 202
    assert await count_turns(site.database) == 1


WRONG: list[tuple[bytes, int]] = [
    (b"", 422),
    (b"not json", 422),
    (b"[]", 422),
    (b'{"id": "message-1"}', 422),
    (b'{"id": "x", "text": "too short an id"}', 422),
    (b'{"id": "../../etc/passwd", "text": "odd id"}', 422),
    (b'{"id": "message-1", "text": 7}', 422),
    (b'{"id": "message-1", "text": "   "}', 422),
    (json.dumps({"id": "message-1", "text": "x" * (MAX_TEXT_CHARS + 1)}).encode(), 413),
    (json.dumps({"id": "message-1", "text": "x" * 100_001}).encode(), 413),
]


async def test_a_wrong_message_is_refused_with_a_reason_and_not_stored(site: Site) -> None:
    for body, status in WRONG:
        async with site.visitor() as visitor:
            await visitor.get("/")
            response = await visitor.post("/chat/messages", content=body)
        assert response.status_code == status, body[:80]
        assert response.json()["error"]
    assert await count_turns(site.database) == 0


async def test_a_post_from_another_site_is_refused(site: Site, visitor: httpx2.AsyncClient) -> None:
    body = {"id": "message-1", "text": "Hello"}
    for headers in (
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://other.shop.example"},
        {"Origin": "null"},
    ):
        response = await visitor.post("/chat/messages", json=body, headers=headers)
        assert response.status_code == 403, headers
    assert await count_turns(site.database) == 0


async def test_without_the_cookie_nothing_is_taken_and_nothing_is_told(site: Site) -> None:
    async with site.visitor() as client:
        assert (await say(client, "Hello")).status_code == 401
        assert (await client.get("/chat/events")).status_code == 401


async def test_who_writes_too_fast_is_told_when_to_come_back(
    site: Site, visitor: httpx2.AsyncClient
) -> None:
    responses = [await say(visitor, "Hello", f"message-{n}") for n in range(12)]
    refused = responses[-1]
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert await count_turns(site.database) == [r.status_code for r in responses].count(202)


@pytest.mark.parametrize(
    ("cap", "why"), [("PAGES_PER_VISITOR", "conversation"), ("PAGES_PER_IP", "network")]
)
async def test_too_many_open_pages_are_refused_until_one_is_closed(
    site: Site, visitor: httpx2.AsyncClient, cap: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, cap, 2)
    async with listening(visitor) as first:
        await anext(first)
        async with listening(visitor) as second:
            await anext(second)
            refused = await visitor.get("/chat/events")
            assert refused.status_code == 429
            assert why in refused.json()["error"]
            assert int(refused.headers["retry-after"]) >= 1
        async with asyncio.timeout(10):
            while True:
                async with visitor.stream("GET", "/chat/events") as response:
                    if response.status_code == 200:
                        break
                await asyncio.sleep(0.05)


async def test_a_body_that_is_too_large_is_refused_wherever_it_is_posted(
    site: Site, visitor: httpx2.AsyncClient
) -> None:
    for path in ("/chat/messages", "/chat/thumbs"):
        assert (await visitor.post(path, content=b" " * 100_001)).status_code == 413
    assert await count_turns(site.database) == 0


async def test_of_a_fast_writer_the_last_draft_is_shown(
    site: Site, visitor: httpx2.AsyncClient
) -> None:
    async with listening(visitor) as events:
        await say(visitor, "Do you deliver?")
        conversation = (await the_turn(site.database)).conversation_id
        await until(events, "turn")
        for n in range(1, 101):
            site.channel.watch.show(conversation, "word " * n)
        assert await until(events, "draft", text="word " * 100)


def test_an_allowance_fills_again_and_forgets_quiet_keys() -> None:
    now = [0.0]
    allowance = Allowance(burst=2, per_s=0.5, clock=lambda: now[0])
    assert [allowance.take("a") for _ in range(3)] == [0, 0, 2.0]
    assert allowance.take("b") == 0
    now[0] = 2.0
    assert allowance.take("a") == 0
    for n in range(20_000):
        allowance.take(str(n))
    assert len(allowance._left) <= 10_000


async def test_a_reply_that_another_process_wrote_comes_through(
    site: Site, visitor: httpx2.AsyncClient
) -> None:
    async with listening(visitor) as events:
        await say(visitor, "Do you deliver?")
        told = await until(events, "turn", role="customer")
        assert told["id"] == "message-1"
        await until(events, "sign", typing=True)
        await answer(site.database, await the_turn(site.database), "Free of charge.")
        reply = await until(events, "turn", role="bot")
        assert reply["text"] == "Free of charge."
        assert reply["sources"] == ["Delivery"]
        assert "secret" not in json.dumps(reply)
        await until(events, "sign", typing=False)


async def test_what_is_being_written_is_shown_until_it_is_a_turn(
    site: Site, visitor: httpx2.AsyncClient
) -> None:
    async with listening(visitor) as events:
        await say(visitor, "Do you deliver?")
        turn = await the_turn(site.database)
        async with site.database.read() as session:
            address = (await session.get_one(Conversation, turn.conversation_id)).address
        preview = site.channel.preview(address, turn.id)
        await preview.typing()
        await preview.show("Free of")
        assert (await until(events, "draft"))["text"] == "Free of"
        reply = await answer(site.database, turn, "Free of charge.")
        await site.channel.deliver(
            Outgoing(
                reply_id=reply.id,
                conversation_id=turn.conversation_id,
                address=address,
                text=reply.text,
            )
        )
        assert (await until(events, "turn", role="bot"))["text"] == "Free of charge."
    async with listening(visitor) as events:  # a page opened later sees no stale draft
        seen = [await anext(events) for _ in range(3)]
        assert [name for name, _ in seen] == ["turn", "turn", "sign"]


async def test_a_page_that_comes_back_gets_what_it_missed_and_no_more(
    site: Site, visitor: httpx2.AsyncClient
) -> None:
    for n in range(3):
        await say(visitor, f"Question {n}", f"message-{n}")
    async with listening(visitor, after=2) as events:
        name, data = await anext(events)
        assert (name, data["text"]) == ("turn", "Question 2")
        name, _ = await anext(events)
        assert name == "sign"


async def test_one_visitor_never_sees_anothers_conversation(
    site: Site, visitor: httpx2.AsyncClient
) -> None:
    await say(visitor, "My address is 7 Moss Lane")
    async with site.visitor() as other:
        await other.get("/")
        async with listening(other) as events:
            name, data = await anext(events)
            assert name == "sign"
            assert data["typing"] is False


async def test_a_person_of_the_shop_is_announced_and_heard(
    site: Site, visitor: httpx2.AsyncClient
) -> None:
    async with listening(visitor) as events:
        await say(visitor, "Can I talk to somebody?")
        conversation = (await the_turn(site.database)).conversation_id
        await take_over(site.database, conversation, who="rita")
        await until(events, "sign", person=True)
        await answer_as_person(site.database, conversation, "Yes, this is Rita.", who="rita")
        assert (await until(events, "turn", role="person"))["text"] == "Yes, this is Rita."


async def test_a_held_answer_is_announced_but_not_shown(
    site: Site, visitor: httpx2.AsyncClient
) -> None:
    async with listening(visitor) as events:
        await say(visitor, "Is it soft?")
        turn = await the_turn(site.database)
        async with site.database.write() as session:
            (await session.get_one(Turn, turn.id)).state = TurnState.answered
            session.add(
                Reply(
                    conversation_id=turn.conversation_id,
                    turn_id=turn.id,
                    text="Unsure words",
                    status=ReplyStatus.held,
                    way=Way.tuned,
                )
            )
        seen = await until(events, "sign", held=True)
        assert "Unsure words" not in json.dumps(seen)


async def test_reset_tells_the_page_where_memory_begins(
    site: Site, visitor: httpx2.AsyncClient
) -> None:
    await say(visitor, "My name is Mei", "message-1")
    async with listening(visitor) as events:
        await say(visitor, "/reset", "message-2")
        sign = await until(events, "sign", fresh_from=3)
        assert sign["fresh_from"] == 3


async def test_closing_ends_the_open_streams(site: Site, visitor: httpx2.AsyncClient) -> None:
    async with listening(visitor) as events:
        await anext(events)
        await site.channel.close()
        async with asyncio.timeout(5):
            assert [event async for event in events] == []
