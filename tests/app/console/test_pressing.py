"""What a hand does: it presses twice, presses again, and loses the page while it writes."""

import asyncio
import itertools

import pytest
from playwright.async_api import Locator, Page, expect
from sqlalchemy import delete, select

from store import AuditEntry, Conversation, Database, Reply, Turn, User, conversation_id

from .conftest import OpenPage
from .shop import ask

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

names = (f"Presser {n}" for n in itertools.count())


async def press_twice(page: Page, name: str) -> None:
    """As a hand does: the second click comes when the page has changed already."""
    place = await page.get_by_role("button", name=name, exact=True).bounding_box()
    assert place is not None
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    await page.mouse.click(x, y)
    await asyncio.sleep(0.3)
    await page.mouse.down(click_count=2)
    await page.mouse.up(click_count=2)


async def write(field: Locator, words: str) -> None:
    """As a hand does: it is not there before the page is."""
    await field.page.wait_for_timeout(1000)
    await field.fill(words)


async def test_a_double_click_takes_a_conversation_over_and_does_not_give_it_back(
    open_page: OpenPage, shop: Database
) -> None:
    customer = next(names)
    await ask(shop, customer, "Is anybody there?", "I am.")
    id_ = conversation_id("web", customer)
    page = await open_page(f"/console/conversations/{id_}", as_="rita")
    await press_twice(page, "Take over")
    await page.wait_for_timeout(1000)
    async with shop.read() as session:
        conversation = await session.get_one(Conversation, id_)
    assert conversation.taken_over_by == "rita"


async def test_a_user_is_added_once_by_two_clicks(open_page: OpenPage, shop: Database) -> None:
    page = await open_page("/console/settings", as_="olga")
    form = page.locator("form")
    await form.get_by_label("Name").fill("twice")
    await form.get_by_label("Password").fill("pressed two times")
    add = form.get_by_role("button", name="Add user")
    await add.evaluate("button => { button.click(); button.click() }")
    await expect(page.get_by_text("twice may enter now")).to_be_visible()
    await expect(page.get_by_text("there is a user 'twice' already")).to_have_count(0)
    async with shop.write() as session:
        assert await session.scalar(select(User).where(User.name == "twice"))
        await session.execute(delete(User).where(User.name == "twice"))
        await session.execute(delete(AuditEntry).where(AuditEntry.action == "add_user"))


async def test_a_persons_answer_that_cannot_be_sent_stays_to_be_sent_again(
    open_page: OpenPage, shop: Database
) -> None:
    customer = next(names)
    await ask(shop, customer, "Do you deliver to islands?", "No.")
    id_ = conversation_id("web", customer)
    page = await open_page(f"/console/conversations/{id_}", as_="rita")
    answer = page.get_by_label("Answer as a person")
    await answer.fill("We do, by the Friday boat.")
    async with shop.write() as session:  # the customer wants to be forgotten
        await session.execute(delete(Turn).where(Turn.conversation_id == id_))
        await session.execute(delete(Reply).where(Reply.conversation_id == id_))
        await session.execute(delete(Conversation).where(Conversation.id == id_))
    await answer.press("Control+Enter")
    await expect(page.locator(".q-notification.bad")).to_be_visible()
    await expect(answer).to_have_value("We do, by the Friday boat.")
    await expect(page.get_by_text("There is no such conversation")).to_be_visible()


async def test_what_is_being_written_is_there_again_when_the_page_comes_back(
    open_page: OpenPage, shop: Database
) -> None:
    customer, question = next(names), "Is the frame of oak?"
    await ask(shop, customer, question, "No.")
    page = await open_page("/console/", as_="rita")
    card = page.locator("article", has_text=question)
    await card.get_by_role("button", name="Edit").click()
    await write(card.get_by_label("Reply", exact=True), "Yes, of oak.")
    await page.reload()
    await card.get_by_role("button", name="Edit").click()
    await expect(card.get_by_label("Reply", exact=True)).to_have_value("Yes, of oak.")
    await card.get_by_role("button", name="Cancel").click()
    await card.get_by_role("button", name="Edit").click()
    await expect(card.get_by_label("Reply", exact=True)).to_have_value("No.")

    await page.goto(f"/console/conversations/{conversation_id('web', customer)}")
    answer = page.get_by_label("Answer as a person")
    await write(answer, "Let me look.")
    await page.reload()
    await expect(answer).to_have_value("Let me look.")
    await answer.press("Control+Enter")
    await expect(page.locator(".turn.person .bubble")).to_have_text("Let me look.")
    await expect(answer).to_have_value("")
    await page.reload()
    await expect(page.locator(".turn.person .bubble")).to_be_visible()
    await expect(answer).to_have_value("")
