"""A wrong press is no misfortune: verdicts are taken back and changed in a real browser."""

import asyncio
import itertools
import re

import pytest
from playwright.async_api import expect
from sqlalchemy import select

from bot.reconsider import change_verdict
from store import Database, Reply, ReplyStatus, Review, Verdict, Way, conversation_id

from .conftest import OpenPage
from .shop import ask
from .test_browser import choose, review_of, until_reviewed

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

names = (f"Regretful {n}" for n in itertools.count())


async def until_undecided(database: Database, reply_id: int) -> Reply:
    async with asyncio.timeout(20):
        while await review_of(database, reply_id) is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    async with database.read() as session:
        return await session.get_one(Reply, reply_id)


async def until_verdict(database: Database, reply_id: int, verdict: Verdict) -> Review:
    async with asyncio.timeout(20):
        while True:
            review = await review_of(database, reply_id)
            if review is not None and review.verdict is verdict:
                return review
            await asyncio.sleep(0.1)


async def test_a_wrong_press_is_undone_by_one_key_and_the_card_is_back_under_the_fingers(
    open_page: OpenPage, shop: Database
) -> None:
    question = "Is a mattress ever free of charge?"
    reply_id = await ask(shop, next(names), question, "Always.")
    page = await open_page("/console/", as_="rita")
    notice = page.locator(".undo [role=status]")
    await expect(notice).to_be_attached()  # before it has words: else they are not read aloud
    await choose(page, question)
    await page.keyboard.press("a")
    await until_reviewed(shop, reply_id)
    await expect(notice).to_have_text(re.compile(f"Approved.*{re.escape(question)}"))
    await page.keyboard.press("u")
    reply = await until_undecided(shop, reply_id)
    assert reply.needs_review
    await expect(notice).to_contain_text("Taken back: it waits for a verdict again.")
    await expect(notice).to_contain_text("The customer has it: only what is learnt changes.")
    card = page.locator("article.chosen", has_text=question)
    await expect(card).to_be_focused()
    await page.keyboard.press("u")  # there is nothing left to take back
    await page.keyboard.press("r")
    await page.get_by_label("Why not?").fill("Never")
    await page.keyboard.press("Enter")
    assert (await until_reviewed(shop, reply_id)).verdict is Verdict.rejected
    await expect(notice).to_contain_text("Rejected")


async def test_undo_is_within_a_thumbs_reach_on_a_phone_and_above_the_places(
    open_page: OpenPage, shop: Database
) -> None:
    question = "能退货吗？"
    reply_id = await ask(shop, next(names), question, "不能。")
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "locale": "zh-CN"}
    page = await open_page("/console/", as_="rita", **phone)
    await page.locator("article", has_text=question).get_by_role("button", name="通过").tap()
    await until_reviewed(shop, reply_id)
    undo = page.locator(".undo").get_by_role("button", name="撤销")
    await expect(undo).to_be_visible()
    place = await undo.bounding_box()
    places = await page.locator(".places").bounding_box()
    assert place is not None
    assert places is not None
    assert place["height"] >= 44
    assert place["y"] + place["height"] <= places["y"]
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await undo.tap()
    await until_undecided(shop, reply_id)
    await expect(page.locator(".undo")).to_contain_text("已撤回")
    card = page.locator("article", has_text=question)
    await expect(card).to_be_in_viewport()
    await card.get_by_role("button", name="修改").tap()  # not covered by what is said
    await expect(card.get_by_label("回复", exact=True)).to_have_value("不能。")
    await page.locator(".undo").get_by_role("button", name="关闭").tap()
    await expect(page.locator(".undo .button").first).not_to_be_visible()


async def test_what_a_colleague_has_changed_is_not_undone_and_one_is_told_who_it_was(
    open_page: OpenPage, shop: Database
) -> None:
    question = "Do you sell hammocks made of gold?"
    reply_id = await ask(shop, next(names), question, "Yes.")
    page = await open_page("/console/", as_="rita")
    await choose(page, question)
    await page.keyboard.press("a")
    seen = await until_reviewed(shop, reply_id)
    await expect(page.locator(".undo")).to_contain_text("Approved")
    knowledge = Deaf()
    await change_verdict(
        shop, knowledge, reply_id, Verdict.rejected, seen=seen, reviewer="omar"  # type: ignore[arg-type]
    )  # fmt: skip
    await page.keyboard.press("u")
    await expect(page.get_by_text("the verdict was changed meanwhile: omar has")).to_be_visible()
    review = await review_of(shop, reply_id)
    assert review is not None
    assert review.verdict is Verdict.rejected


class Deaf:
    """Another process's knowledge store, which is none of this page's."""

    async def learn(self, _reply_id: int) -> None: ...


async def test_a_verdict_is_changed_in_its_conversation_and_what_the_customer_has_stays(
    open_page: OpenPage, shop: Database
) -> None:
    name, question = next(names), "How heavy is the Atlas?"
    reply_id = await ask(shop, name, question, "Nine tonnes.")
    page = await open_page("/console/", as_="rita")
    await choose(page, question)
    await page.keyboard.press("a")
    await until_reviewed(shop, reply_id)
    await page.goto(f"/console/conversations/{conversation_id('web', name)}")
    turn = page.locator("article.turn.bot").last
    await expect(turn).to_contain_text("Approved by rita")
    await turn.get_by_role("button", name="Change the verdict").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("The customer has this reply")
    await dialog.get_by_role("button", name="Edit").click()
    await expect(dialog.get_by_label("Reply", exact=True)).to_have_value("Nine tonnes.")
    await dialog.get_by_label("Reply", exact=True).fill("Nineteen kilos.")
    await dialog.get_by_label("Tags").fill("weight")
    await dialog.get_by_role("button", name="Save").click()
    await expect(turn).to_contain_text("Edited by rita")
    await expect(turn).to_contain_text("weight")
    await expect(turn.locator(".bubble")).to_have_text("Nine tonnes.")
    review = await until_verdict(shop, reply_id, Verdict.edited)
    assert (review.text, review.tags) == ("Nineteen kilos.", ["weight"])
    await turn.get_by_role("button", name="Change the verdict").click()
    await expect(dialog).to_contain_text("Nineteen kilos.")
    await dialog.get_by_role("button", name="Reject").click()
    await dialog.get_by_label("Why not?").fill("It was sold out")
    await dialog.get_by_role("button", name="Reject").click()
    await expect(turn).to_contain_text("Rejected by rita")
    review = await until_verdict(shop, reply_id, Verdict.rejected)
    assert review.reason == "It was sold out"
    await turn.get_by_role("button", name="Change the verdict").click()
    await dialog.get_by_role("button", name="Back to the queue").click()
    assert (await until_undecided(shop, reply_id)).needs_review
    await expect(turn.get_by_role("button", name="Change the verdict")).to_have_count(0)


async def test_a_rejected_draft_stands_in_its_conversation_and_goes_out_after_all(
    open_page: OpenPage, shop: Database
) -> None:
    name, question = next(names), "Will it fit through the door?"
    reply_id = await ask(
        shop, name, question, "It comes rolled up, so yes.", Way.retrieval, ReplyStatus.held
    )
    page = await open_page("/console/", as_="rita")
    await choose(page, question)
    await page.keyboard.press("r")
    await page.get_by_label("Why not?").fill("I was not sure")
    await page.keyboard.press("Enter")
    await until_reviewed(shop, reply_id)
    await page.goto(f"/console/conversations/{conversation_id('web', name)}")
    stopped = page.locator("article.turn.stopped")
    await expect(stopped).to_contain_text("Rejected by rita")
    await stopped.get_by_role("button", name="Change the verdict").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("the customer still waits")
    await dialog.get_by_role("button", name="Approve").click()
    sent = page.locator("article.turn.bot:not(.stopped)", has_text="It comes rolled up")
    await expect(sent).to_contain_text("Approved by rita")
    await expect(stopped).to_have_count(0)
    async with asyncio.timeout(20):
        while True:
            async with shop.read() as session:
                status = await session.scalar(select(Reply.status).where(Reply.id == reply_id))
            if status is ReplyStatus.sent:
                break
            await asyncio.sleep(0.1)
