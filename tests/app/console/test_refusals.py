"""What the console refuses: nothing is saved, and the reason is read in the user's language."""

import pytest
from playwright.async_api import expect
from sqlalchemy import select

from app.console.retelling import retell
from app.console.words import Language
from app.cron import CronError, read_cron
from app.users import UserError, add_user
from bot.masks import MaskError, edit_mask
from bot.review import AlreadyReviewedError, ReviewChangedError
from finetune.lineage import parse_id
from finetune.node import LineageError
from store import AuditEntry, Database, Mask, Review, Setting, UserRole, Verdict, utc_now
from store.switches import SwitchError, set_switch

from .conftest import OpenPage
from .shop import add_users


async def test_a_refusal_is_told_in_chinese(database: Database) -> None:
    await add_users(database)
    told: list[str] = []
    for name, password in (("", "long enough"), ("rita", "long enough"), ("sam", "short")):
        with pytest.raises(UserError) as refused:
            await add_user(database, name, password, UserRole.reviewer, who="olga")
        told.append(str(refused.value))
    async with database.write() as session:
        for key, value in (
            ("retrain_jobs_a_day", -1), ("canary_share", 2), ("retrain_quiet_hours", "8"),
        ):  # fmt: skip
            with pytest.raises(SwitchError) as lost:
                await set_switch(session, key, value, who="olga")
            told.append(str(lost.value))
        with pytest.raises(MaskError) as huge:
            await edit_mask(session, "huge", who="olga", system_prompt="word " * 9000)
        told.append(str(huge.value))
    for cron in ("never", "0 3 31 2 *", "99 * * * *"):
        with pytest.raises(CronError) as never:
            read_cron(cron)
        told.append(str(never.value))
    with pytest.raises(LineageError) as nothing:
        parse_id("xyz")
    review = Review(reviewer="ann", verdict=Verdict.rejected, created_at=utc_now())
    told += [str(nothing.value), str(AlreadyReviewedError(review))]
    told += [str(ReviewChangedError(review)), str(ReviewChangedError(None))]
    assert [each for each in told if retell(Language.zh, each) == each] == []
    assert "rejected" not in retell(Language.zh, str(AlreadyReviewedError(review)))


@pytest.mark.browser
@pytest.mark.asyncio(loop_scope="session")
async def test_an_emptied_number_is_refused_and_does_not_lift_the_limit(
    open_page: OpenPage, shop: Database
) -> None:
    page = await open_page("/console/settings", as_="omar")
    section = page.locator(".section", has=page.get_by_role("heading", name="When to retrain"))
    for value in ("", "1e30"):
        await section.get_by_label("Jobs a day at most").fill(value)
        await section.get_by_role("button", name="Save").click()
        refused = page.get_by_text("Jobs a day at most: give a number from 0 to 1000000")
        await expect(refused.first).to_be_visible()
        await expect(refused).to_have_count(0)
    async with shop.read() as session:
        jobs = select(Setting).where(Setting.key == "retrain_jobs_a_day")
        assert await session.scalar(jobs) is None


@pytest.mark.browser
@pytest.mark.asyncio(loop_scope="session")
async def test_a_mask_of_a_name_that_is_taken_is_refused_and_an_empty_exchange_left_out(
    open_page: OpenPage, shop: Database
) -> None:
    page = await open_page("/console/settings", as_="omar")
    await page.get_by_label("New mask").fill("default")
    await page.get_by_role("button", name="Add", exact=True).click()
    await expect(page.get_by_text("there is a mask 'default' already")).to_be_visible()
    mask = page.locator("details.mask").first
    await mask.locator("summary").click()
    await mask.get_by_role("button", name="Add an exchange").click()
    await mask.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    async with shop.read() as session:
        found = await session.scalar(select(Mask).where(Mask.is_default))
        edits = select(AuditEntry).where(AuditEntry.action == "edit_mask")
        logged = list(await session.scalars(edits.order_by(AuditEntry.id.desc()).limit(1)))
    assert found is not None
    assert found.few_shot == []
    assert logged[0].detail["few_shot"] == []


@pytest.mark.browser
@pytest.mark.asyncio(loop_scope="session")
async def test_a_lost_connection_is_told_in_the_users_language(open_page: OpenPage) -> None:
    page = await open_page("/console/", as_="rita", locale="zh-CN")
    await expect(page.locator("#popup")).to_contain_text("正在重新连接")
    assert "Connection lost" not in await page.locator("#popup").inner_text()
