"""Thumbs by HTTP: who may give them, what is stored, what a page that is loaded again shows."""

import httpx2
from sqlalchemy import select

from store import Reply, ReplyStatus, Review, Thumb, Verdict, Way
from tests.bot.test_web import Site, answer, listening, say, site, the_turn, until, visitor

__all__ = ["site", "visitor"]


async def press(visitor: httpx2.AsyncClient, thumb: str | None, seq: int = 2) -> int:
    response = await visitor.post("/chat/thumbs", json={"seq": seq, "thumb": thumb})
    return response.status_code


async def stored(site: Site) -> list[bool]:
    async with site.database.read() as session:
        return list(await session.scalars(select(Thumb.is_up)))


async def the_reply(site: Site) -> Reply:
    async with site.database.read() as session:
        return (await session.scalars(select(Reply))).one()


async def test_a_thumb_is_stored_once_changed_and_taken_back(
    site: Site, visitor: httpx2.AsyncClient
) -> None:
    await say(visitor, "How long does it take?")
    await answer(site.database, await the_turn(site.database), "Two days.")
    assert await press(visitor, "up") == 200
    assert await press(visitor, "up") == 200
    assert await stored(site) == [True]
    assert await press(visitor, "down") == 200
    assert await stored(site) == [False]
    assert await press(visitor, None) == 200
    assert await stored(site) == []


async def test_a_page_that_is_loaded_again_shows_the_thumb(
    site: Site, visitor: httpx2.AsyncClient
) -> None:
    await say(visitor, "How long does it take?")
    await answer(site.database, await the_turn(site.database), "Two days.")
    async with listening(visitor) as events:
        assert (await until(events, "turn", role="bot", is_rated=True))["thumb"] is None
    await press(visitor, "down")
    async with listening(visitor) as events:
        assert (await until(events, "turn", role="bot"))["thumb"] == "down"
        assert "is_rated" not in await until_customer(visitor)


async def until_customer(visitor: httpx2.AsyncClient) -> dict[str, object]:
    async with listening(visitor) as events:
        turn: dict[str, object] = await until(events, "turn", role="customer")
        return turn


async def test_a_thumb_down_asks_a_reviewer_to_look_unless_one_has(
    site: Site, visitor: httpx2.AsyncClient
) -> None:
    await say(visitor, "How long does it take?")
    reply = await answer(site.database, await the_turn(site.database), "Two days.")
    await press(visitor, "up")
    assert not (await the_reply(site)).needs_review
    await press(visitor, "down")
    assert (await the_reply(site)).needs_review
    async with site.database.write() as session:
        (await session.get_one(Reply, reply.id)).needs_review = False
        session.add(Review(reply_id=reply.id, verdict=Verdict.rejected, reviewer="rita"))
    await press(visitor, "down")
    assert not (await the_reply(site)).needs_review


async def test_nobody_rates_what_is_not_theirs_or_no_answer(
    site: Site, visitor: httpx2.AsyncClient
) -> None:
    await say(visitor, "How long does it take?")
    reply = await answer(site.database, await the_turn(site.database), "Two days.")
    async with site.visitor() as stranger:
        assert await press(stranger, "down") == 403, "a browser without the cookie"
        await stranger.get("/")
        assert await press(stranger, "down") == 404
    assert await press(visitor, "down", seq=1) == 404, "the customer's own turn"
    assert await press(visitor, "sideways") == 422
    async with site.database.write() as session:
        (await session.get_one(Reply, reply.id)).way = Way.person
    assert await press(visitor, "down") == 404
    async with site.database.write() as session:
        row = await session.get_one(Reply, reply.id)
        row.way, row.status = Way.tuned, ReplyStatus.withdrawn
    assert await press(visitor, "down") == 404
    foreign = {"sec-fetch-site": "cross-site"}
    body = {"seq": 2, "thumb": "down"}
    refused = await visitor.post("/chat/thumbs", json=body, headers=foreign)
    assert refused.status_code == 403
    assert await stored(site) == []
