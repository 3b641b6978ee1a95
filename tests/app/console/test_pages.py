"""What pages promise to everybody: one place for the content, names for what can be pressed."""

import pytest
from playwright.async_api import Page, expect
from sqlalchemy import delete, select

from store import Database, ModelVersion, Run, RunState, Stage

from .conftest import OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PAGES = (
    "/", "/second-look", "/conversations", "/knowledge", "/runs", "/runs/1", "/models", "/advice",
    "/lineage?of=reply:1", "/settings",
)  # fmt: skip


async def press_nameless(page: Page) -> list[str]:
    """What can be pressed or filled in and has no name that a screen reader could say."""
    found: list[str] = await page.evaluate(
        """() => [...document.querySelectorAll("main button, main a, main input, main textarea")]
            .filter((each) => each.checkVisibility())
            .filter((each) => !(each.getAttribute("aria-label") || each.innerText || "").trim())
            .filter((each) => ![...(each.labels ?? [])].some((label) => label.innerText.trim()))
            .map((each) => each.outerHTML.slice(0, 200))"""
    )
    return found


async def test_each_page_has_one_main_part_and_names_what_can_be_pressed(
    open_page: OpenPage,
) -> None:
    page = await open_page("/console/", as_="olga")
    for path in PAGES:
        await page.goto(f"/console{path}")
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await expect(page.locator("main")).to_have_count(1)
        assert await press_nameless(page) == []


async def test_no_page_is_wider_than_a_phone(open_page: OpenPage) -> None:
    page = await open_page("/console/", as_="olga")
    await page.set_viewport_size({"width": 390, "height": 844})
    for path in PAGES:
        await page.goto(f"/console{path}")
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390


async def test_the_buttons_of_a_table_are_within_a_phones_reach(
    open_page: OpenPage, shop: Database
) -> None:
    model = "ft:smollm2-135m-instruct:nod:nod-v1:m1fvOYx3"
    async with shop.write() as session:
        session.add(
            ModelVersion(model=model, base_model="smollm2-135m-instruct", stage=Stage.retired)
        )
    page = await open_page("/console/", as_="olga")
    await page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/knowledge", "/models", "/settings"):
        await page.goto(f"/console{path}")
        buttons = page.locator("main .scroll td .button")
        await expect(buttons.first).to_be_visible()
        cut = await buttons.evaluate_all(
            """all => all.filter((each) => each.getBoundingClientRect().right
                > each.closest(".scroll").getBoundingClientRect().right)
                .map((each) => each.innerText)"""
        )
        assert cut == [], path
    async with shop.write() as session:
        await session.execute(delete(ModelVersion).where(ModelVersion.model == model))


async def test_an_address_that_leads_nowhere_says_so_and_leads_back(open_page: OpenPage) -> None:
    page = await open_page("/console/", as_="rita")
    answer = await page.goto("/console/nowhere")
    assert answer is not None
    assert answer.status == 404
    await page.get_by_role("link", name="To the review queue").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Review")


async def test_a_run_is_cancelled_only_after_asking(open_page: OpenPage, shop: Database) -> None:
    page = await open_page("/console/runs/2", as_="omar")
    await page.get_by_role("button", name="Cancel the run").click()
    asking = page.get_by_role("dialog")
    await asking.get_by_role("button", name="Leave it as it is").click()
    await expect(asking).to_have_count(0)
    async with shop.read() as session:
        run = await session.scalar(select(Run).where(Run.state == RunState.training))
    assert run is not None
    assert run.cancel_asked_by is None


async def test_each_uploaded_file_says_what_became_of_it(open_page: OpenPage) -> None:
    page = await open_page("/console/knowledge", as_="omar")
    files = page.locator("input[type=file]")
    picture = {"name": "bed.png", "mimeType": "image/png", "buffer": b"\x89PNG"}
    nothing = {"name": "nothing.md", "mimeType": "text/markdown", "buffer": b""}
    pillows = {"name": "pillows.md", "mimeType": "text/markdown", "buffer": b"# Pillows\n\nSoft."}
    for file in (picture, nothing, pillows):
        await files.set_input_files(file)  # type: ignore[arg-type]
    told = page.get_by_role("log", name="Uploads").get_by_role("listitem")
    await expect(told.filter(has_text="bed.png was not taken: only")).to_be_visible()
    await expect(told.filter(has_text="nothing.md: the file is empty")).to_be_visible()
    await expect(told.filter(has_text="pillows.md was read. Chunks: 1")).to_be_visible()
    await files.set_input_files(pillows)  # type: ignore[arg-type]
    await expect(told.filter(has_text="pillows.md was read")).to_have_count(2)
