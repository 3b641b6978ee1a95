"""The console and the web chat as people meet them: a real browser, a real program behind it."""

import asyncio
import itertools
import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect
from sqlalchemy import delete, func, select

from finetune.promote import roll_back
from store import (
    AuditEntry,
    Database,
    Document,
    Mask,
    ModelVersion,
    Reply,
    Review,
    SecondLook,
    SecondLookState,
    Setting,
    Turn,
    User,
    UserRole,
    Verdict,
    Way,
    utc_now,
)

from .conftest import OpenPage, Running
from .shop import ATTACK, PASSWORD, ask

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="session"),  # the browser's
]

names = (f"Customer {n}" for n in itertools.count())


async def review_of(database: Database, reply_id: int) -> Review | None:
    async with database.read() as session:
        return await session.scalar(select(Review).where(Review.reply_id == reply_id))


async def until_reviewed(database: Database, reply_id: int) -> Review:
    async with asyncio.timeout(20):
        while (review := await review_of(database, reply_id)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return review


async def choose(page: Page, question: str) -> None:
    """Click the card of a question, so that keys mean this one."""
    await page.locator("article", has_text=question).locator(".asked").click()
    await expect(page.locator("article.chosen", has_text=question)).to_be_visible()


async def test_only_the_right_password_lets_one_in(open_page: OpenPage) -> None:
    page = await open_page("/console/")
    await expect(page).to_have_url(re.compile("/console/login"))
    await page.fill("[name=name]", "rita")
    await page.fill("[name=password]", "wrong")
    await page.click("button[type=submit]")
    await expect(page.get_by_role("alert")).to_have_text("Wrong name or password.")
    await expect(page.locator("[name=name]")).to_have_value("rita")
    await page.fill("[name=password]", PASSWORD)
    await page.click("button[type=submit]")
    await expect(page.get_by_role("heading", name="Review", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Log out").click()
    await page.goto("/console/settings")
    await expect(page).to_have_url(re.compile("/console/login"))


async def test_a_reply_is_approved_by_one_key_and_leaves_every_open_page(
    open_page: OpenPage, shop: Database
) -> None:
    question = "Do you deliver to the third floor?"
    mine = await open_page("/console/", as_="rita")
    colleague = await open_page("/console/", as_="omar")
    reply_id = await ask(shop, next(names), question, "Yes, to any floor.")
    for page in (mine, colleague):  # nobody reloads
        await expect(page.get_by_text(question)).to_be_visible()
    await choose(mine, question)
    await mine.keyboard.press("a")
    review = await until_reviewed(shop, reply_id)
    assert (review.verdict, review.reviewer) == (Verdict.approved, "rita")
    for page in (mine, colleague):
        await expect(page.locator("article", has_text=question)).to_have_count(0)


async def test_j_and_k_move_the_choice(open_page: OpenPage, shop: Database) -> None:
    for _ in range(2):
        await ask(shop, next(names), "Something to choose?", "Yes.")
    page = await open_page("/console/", as_="rita")
    chosen = page.locator("article.chosen .asked")
    cards = page.locator("article .asked")
    await expect(chosen).to_have_count(1)
    first = await chosen.text_content()
    await page.keyboard.press("j")
    await expect(cards.nth(1).locator("xpath=..")).to_have_class(re.compile("chosen"))
    await page.keyboard.press("k")
    await expect(chosen).to_have_text(first or "")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_contain_text("Approve")


async def test_a_key_that_misses_the_field_decides_nothing_and_keeps_what_is_written(
    open_page: OpenPage, shop: Database
) -> None:
    question = "Is the cover of the Atlas removable?"
    reply_id = await ask(shop, next(names), question, "No.")
    page = await open_page("/console/", as_="rita")
    await choose(page, question)
    await page.keyboard.press("e")
    text = page.locator("article", has_text=question).get_by_label("Reply", exact=True)
    await text.fill("Yes, by its zip.")
    await page.get_by_role("heading", level=1).click()
    for key in "are":
        await page.keyboard.press(key)
        await page.wait_for_timeout(300)
        await expect(text).to_have_value("Yes, by its zip.")
    assert await review_of(shop, reply_id) is None
    await page.keyboard.press("Escape")
    await expect(text).to_have_count(0)
    await page.keyboard.press("a")
    assert (await until_reviewed(shop, reply_id)).verdict is Verdict.approved


async def test_no_key_decides_behind_the_list_of_keys(open_page: OpenPage, shop: Database) -> None:
    question = "Can I see the Atlas in your shop?"
    reply_id = await ask(shop, next(names), question, "Yes.")
    page = await open_page("/console/", as_="rita")
    await choose(page, question)
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("a")
    await page.wait_for_timeout(500)
    assert await review_of(shop, reply_id) is None
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.keyboard.press("a")
    assert (await until_reviewed(shop, reply_id)).verdict is Verdict.approved


async def test_a_reply_is_edited_in_place_with_other_phrasings(
    open_page: OpenPage, shop: Database
) -> None:
    question = "How long is the warranty?"
    reply_id = await ask(shop, next(names), question, "Two years.")
    page = await open_page("/console/", as_="rita")
    await choose(page, question)
    await page.keyboard.press("e")
    await page.get_by_label("Reply", exact=True).fill("Ten years, on every model.")
    await page.get_by_label("Also asked as").fill("What warranty do you give?\n\n Is it covered? ")
    await page.keyboard.press("Control+Enter")
    review = await until_reviewed(shop, reply_id)
    assert (review.verdict, review.text) == (Verdict.edited, "Ten years, on every model.")
    assert review.phrasings == ["What warranty do you give?", "Is it covered?"]


async def test_a_reply_is_tagged_while_it_is_edited_and_again_in_its_conversation(
    open_page: OpenPage, shop: Database
) -> None:
    question = "May I send back an opened mattress?"
    reply_id = await ask(shop, next(names), question, "Within thirty days.")
    page = await open_page("/console/", as_="rita")
    await choose(page, question)
    await page.keyboard.press("e")
    await page.get_by_label("Tags").fill("re,fund")
    await page.keyboard.press("Control+Enter")
    await expect(page.get_by_text("is no tag")).to_be_visible()
    assert await review_of(shop, reply_id) is None, "nothing is decided by halves"
    await page.get_by_label("Tags").fill("Refund")
    await page.keyboard.press("Control+Enter")
    await until_reviewed(shop, reply_id)
    async with shop.read() as session:
        conversation = (await session.get_one(Reply, reply_id)).conversation_id
    await page.goto(f"/console/conversations/{conversation}")
    turn = page.locator("article.turn.bot").last
    await expect(turn).to_contain_text("refund")
    await turn.get_by_role("button", name="Tags").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Tags").fill("refund vip")
    await dialog.get_by_role("button", name="Save").click()
    await expect(turn).to_contain_text("vip")
    review = await until_reviewed(shop, reply_id)
    assert review.tags == ["refund", "vip"]


async def test_an_edit_under_way_survives_what_comes_in_meanwhile(
    open_page: OpenPage, shop: Database
) -> None:
    question = "Is it vegan?"
    await ask(shop, next(names), question, "No.")
    page = await open_page("/console/", as_="rita")
    await choose(page, question)
    await page.keyboard.press("e")
    await page.get_by_label("Reply", exact=True).fill("Yes, but for the wool")
    newer = "And is it organic?"
    await ask(shop, next(names), newer, "Yes.")
    await expect(page.get_by_text(newer)).to_be_visible()
    await expect(page.get_by_label("Reply", exact=True)).to_have_value("Yes, but for the wool")
    await page.get_by_label("Reply", exact=True).press("Escape")
    await expect(page.locator("article", has_text=question).locator(".said")).to_have_text("No.")


async def test_a_reply_is_rejected_with_a_reason(open_page: OpenPage, shop: Database) -> None:
    question = "Can I pay in shells?"
    reply_id = await ask(shop, next(names), question, "Of course.")
    page = await open_page("/console/", as_="rita")
    await choose(page, question)
    await page.keyboard.press("r")
    await page.get_by_label("Why not?").fill("We do not take shells")
    await page.keyboard.press("Enter")
    review = await until_reviewed(shop, reply_id)
    assert (review.verdict, review.reason) == (Verdict.rejected, "We do not take shells")


async def test_a_reviewer_cannot_do_what_needs_an_operator(
    open_page: OpenPage, shop: Database
) -> None:
    page = await open_page("/console/settings", as_="rita")
    await expect(page.get_by_role("radio", name="hybrid")).to_be_disabled()
    await expect(page.get_by_role("heading", name="Users")).to_have_count(0)


async def test_a_lost_role_counts_on_pages_that_are_already_open(
    open_page: OpenPage, shop: Database
) -> None:
    page = await open_page("/console/settings", as_="omar")
    hybrid = page.get_by_role("radio", name="hybrid")
    await expect(hybrid).to_be_enabled()
    await set_role(shop, "omar", UserRole.reviewer)
    try:
        await hybrid.click()
        await expect(page.get_by_text("This needs the role operator.")).to_be_visible()
        async with shop.read() as session:
            assert await session.get(Setting, "mode") is None
    finally:
        await set_role(shop, "omar", UserRole.operator)


async def set_role(database: Database, name: str, role: UserRole) -> None:
    async with database.write() as session:
        (await session.scalars(select(User).where(User.name == name))).one().role = role


async def test_an_operator_switches_the_policy_and_it_is_logged(
    open_page: OpenPage, shop: Database
) -> None:
    page = await open_page("/console/settings", as_="omar")
    await page.get_by_role("radio", name="hold unsure").click()
    await expect(page.get_by_role("radio", name="hold unsure")).to_be_checked()
    await page.get_by_role("radio", name="send").click()
    await expect(page.get_by_role("radio", name="send")).to_be_checked()
    async with shop.read() as session:
        logged = select(AuditEntry).where(AuditEntry.action == "set_switch")
        assert {entry.who for entry in await session.scalars(logged)} == {"omar"}


async def test_a_masks_exchanges_are_edited_and_what_is_too_long_is_refused(
    open_page: OpenPage, shop: Database
) -> None:
    page = await open_page("/console/settings", as_="omar")
    card = page.locator("details.mask").first
    await card.locator("summary").click()
    await card.get_by_role("button", name="Add an exchange").click()
    await card.get_by_label("Customer").fill("Hi")
    await card.get_by_label("Answer", exact=True).fill("Good day to you!")
    await card.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Saved")).to_be_visible()
    async with shop.read() as session:
        mask = (await session.scalars(select(Mask))).one()
    assert [turn["content"] for turn in mask.few_shot] == ["Hi", "Good day to you!"]
    await card.locator("summary").click()
    await card.get_by_label("System prompt").fill("Be kind. " * 300)
    await expect(card.locator(".over")).to_have_text("907 of 600 tokens")
    await card.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("raise NOD_MASK_TOKENS")).to_be_visible()
    async with shop.read() as session:
        after = (await session.scalars(select(Mask))).one()
    assert after.system_prompt == mask.system_prompt


async def test_a_lost_switch_is_shown_and_who_sets_it_again(
    open_page: OpenPage, shop: Database
) -> None:
    async with shop.write() as session:
        await session.merge(Setting(key="policy", value="psychic", updated_by="a newer version"))
    page = await open_page("/console/settings", as_="omar")
    await expect(page.get_by_role("link", name="A switch is lost")).to_be_visible()
    await expect(page.get_by_text("policy='psychic' is not one of")).to_be_visible()
    await page.get_by_role("radio", name="send").click()
    await expect(page.get_by_text("Set by omar")).to_be_visible()
    await expect(page.get_by_text("policy='psychic' is not one of")).to_have_count(0)
    log = page.get_by_role("table", name="Who changed what")
    row = log.get_by_role("row").filter(has_text="from: psychic, to: send")
    await expect(row).to_contain_text("omar")
    async with shop.write() as session:
        await session.execute(delete(Setting))


async def test_what_is_set_aside_is_shown_with_its_reason_and_released_by_a_click(
    open_page: OpenPage, shop: Database
) -> None:
    page = await open_page("/console/second-look", as_="omar")
    await expect(
        page.get_by_role("heading", name="Nothing waits for a second look")
    ).to_be_visible()
    why = "links to bedco.example, which stands in no document and hardly anywhere else"
    mine, hers = [
        await set_aside(shop, f"{reviewer} says: who is best?", reviewer, "link", why)
        for reviewer in ("omar", "rita")
    ]
    own = page.locator("article", has_text="omar says")
    await expect(own).to_contain_text("another operator or owner has to release it")
    await expect(own.get_by_role("button", name="Release")).to_be_disabled()
    await expect(page.get_by_role("link", name="Second look")).to_contain_text("2")
    card = page.locator("article", has_text="rita says")
    await expect(card.get_by_role("listitem")).to_have_text(f"Unknown link{why}")
    await card.get_by_role("button", name="Release").click()
    await expect(card).to_have_count(0)
    await expect(own).to_be_focused()
    await own.get_by_role("button", name="Strike").click()
    await page.get_by_role("dialog").get_by_role("button", name="Strike").click()
    await expect(own).to_have_count(0)
    async with shop.read() as session:
        looks = {look.reply_id: look for look in await session.scalars(select(SecondLook))}
    assert (looks[hers].state, looks[hers].decided_by) == (SecondLookState.released, "omar")
    assert looks[mine].state is SecondLookState.struck
    review = await review_of(shop, mine)
    assert review is not None
    assert review.verdict is Verdict.rejected


async def set_aside(database: Database, question: str, reviewer: str, kind: str, why: str) -> int:
    """An approved reply that waits for a second look."""
    reply_id = await ask(database, next(names), question, "BedCo: https://bedco.example")
    reasons = [{"kind": kind, "why": why}]
    async with database.write() as session:
        reply = await session.get_one(Reply, reply_id)
        reply.needs_review = False
        verdict = Verdict.approved
        session.add(Review(reply_id=reply_id, verdict=verdict, text=reply.text, reviewer=reviewer))
        session.add(SecondLook(reply_id=reply_id, reasons=reasons))
    return reply_id


async def test_a_tainted_model_goes_live_only_after_its_warning_was_agreed_to(
    open_page: OpenPage, shop: Database
) -> None:
    async with shop.write() as session:
        version = await session.scalar(select(ModelVersion).where(ModelVersion.stage == "retired"))
        assert version is not None
        version.tainted_at = utc_now()
    page = await open_page("/console/models", as_="omar")
    for name, model in (("Roll back", version.model), ("Promote", version.model)):
        await page.get_by_role("button", name=name).first.click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("alert")).to_contain_text(f"{model} is tainted: it was")
        await expect(dialog.get_by_role("button", name=name)).to_have_count(0)
        await dialog.get_by_role("button", name="Leave it as it is").click()
        await expect(dialog).to_have_count(0)
    await page.get_by_role("button", name="Promote").first.click()
    await page.get_by_role("dialog").get_by_role("button", name="Yes, all the same").click()
    row = page.get_by_role("row").filter(has_text=version.model)
    await expect(row.locator(".chip.live")).to_be_visible()
    async with shop.write() as session:  # as it was
        await roll_back(session, "olga")
        live = await session.scalar(select(ModelVersion).where(ModelVersion.stage == "live"))
        assert live is not None
        (await session.get_one(ModelVersion, version.id)).tainted_at = None


async def test_a_hostile_question_is_shown_as_text(open_page: OpenPage) -> None:
    page = await open_page("/console/", as_="rita")
    await expect(page.locator("article .asked", has_text="<img src=x")).to_have_text(ATTACK)
    await page.get_by_role("link", name="Ola").first.click()
    await expect(page.locator(".bubble").first).to_have_text(ATTACK)
    assert await page.title() != "owned"


async def test_every_page_opens_in_both_languages_without_an_error(open_page: OpenPage) -> None:
    page = await open_page("/console/", as_="olga", locale="zh-CN")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    for path, title in (
        ("/", "审核"),
        ("/second-look", "复查"),
        ("/conversations", "对话"),
        ("/knowledge", "知识库"),
        ("/runs", "训练"),
        ("/runs/1", "训练 1"),
        ("/models", "模型"),
        ("/advice", "建议"),
        ("/lineage?of=reply:1", "来源"),
        ("/settings", "设置"),
    ):
        await page.goto(f"/console{path}")
        await expect(page.get_by_role("heading", level=1)).to_have_text(title)
        await page.goto(f"/console/prefer?key=language&value=en&back=/console{path}")
        await expect(page.locator("html")).to_have_attribute("lang", "en")
        await page.goto(f"/console/prefer?key=language&value=zh&back=/console{path}")
    assert errors == []


async def test_a_run_shows_its_curve_and_its_scoreboard(open_page: OpenPage) -> None:
    page = await open_page("/console/runs/1", as_="rita")
    await expect(page.get_by_role("img", name="Training loss by step")).to_be_visible()
    board = page.get_by_role("table", name="Scores by mode")
    await expect(board.get_by_role("row").filter(has_text="hybrid")).to_contain_text("55.1")


async def test_a_reply_is_traced_from_its_conversation_to_its_run_and_back(
    open_page: OpenPage, shop: Database
) -> None:
    question = "Where did you learn that?"
    reply_id = await ask(shop, next(names), question, "From those who asked before.")
    async with shop.write() as session:
        version = await session.scalar(select(ModelVersion).where(ModelVersion.stage == "live"))
        reply = await session.get_one(Reply, reply_id)
        assert version is not None
        reply.model_version_id, reply.way = version.id, Way.tuned
        conversation = reply.conversation_id
    page = await open_page(f"/console/conversations/{conversation}", as_="rita")
    await page.get_by_role("link", name="Lineage").last.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Lineage")
    tree = page.locator(".lineage").first
    await expect(tree).to_contain_text("From those who asked before.")
    await expect(tree).to_contain_text(version.model)
    await expect(tree).to_contain_text("148 to train on, 32 held out")
    await tree.get_by_role("link", name=f"run {version.run_id}").click()
    await expect(page.locator(".lineage").first).to_contain_text("asked for by nod")
    await page.goto("/console/lineage?of=run:99")
    await expect(page.get_by_text("there is no run 99")).to_be_visible()


async def test_a_chat_streams_survives_a_reload_and_stores_each_message_once(
    open_page: OpenPage, nod: Running, shop: Database
) -> None:
    page = await open_page("/")
    await page.get_by_label("Write a message").fill("Do you deliver on Saturdays? " + ATTACK)
    await page.keyboard.press("Enter")
    mine, reply = page.locator(".turn.customer .bubble"), page.locator("[data-seq].bot .bubble")
    await expect(mine).to_have_text("Do you deliver on Saturdays? " + ATTACK)
    await expect(reply).to_have_count(1)
    said = await reply.text_content()
    await page.reload()
    await expect(mine).to_have_count(1)
    await expect(reply).to_have_text(said or "")
    assert await page.title() != "owned"
    async with shop.read() as session:
        stored = select(func.count(Turn.id)).where(Turn.text.contains("Saturdays? <img"))
        assert await session.scalar(stored) == 1


async def test_the_newest_message_stays_in_sight_when_a_phones_keyboard_opens(
    open_page: OpenPage,
) -> None:
    page = await open_page("/", viewport={"width": 390, "height": 844})
    await page.get_by_label("Write a message").fill("How long is the trial?\n" * 60)
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-seq].bot")).to_have_count(1)
    await page.set_viewport_size({"width": 390, "height": 450})
    await expect(page.locator("[data-seq].bot")).to_be_in_viewport()


async def test_what_is_written_offline_is_kept_and_sent_later(
    open_page: OpenPage, shop: Database
) -> None:
    page = await open_page("/")
    await expect(page.get_by_text("Here for you")).to_be_visible()
    await page.context.set_offline(True)
    await page.get_by_label("Write a message").fill("Kept while offline")
    await page.keyboard.press("Enter")
    await expect(page.locator(".pending")).to_contain_text("Kept while offline")
    await page.context.set_offline(False)
    await expect(page.locator("[data-seq].customer")).to_have_count(1)
    await expect(page.locator(".pending")).to_have_count(0)


async def test_a_person_steps_in_and_the_customer_reads_it(
    open_page: OpenPage, shop: Database
) -> None:
    customer = await open_page("/")
    await customer.get_by_label("Write a message").fill("I want to talk to a person, please")
    await customer.keyboard.press("Enter")
    await expect(customer.locator("[data-seq].bot")).to_have_count(1)
    async with shop.read() as session:
        written = select(Turn.conversation_id).where(Turn.text.startswith("I want to talk to"))
        conversation = await session.scalar(written)
    staff = await open_page(f"/console/conversations/{conversation}", as_="rita")
    await staff.get_by_role("button", name="Take over").click()
    await expect(staff.get_by_role("button", name="Give back to the bot")).to_be_visible()
    await expect(customer.get_by_text("A colleague is answering here")).to_be_visible()
    await staff.get_by_label("Answer as a person").fill("This is Rita. How can I help?")
    await staff.get_by_role("button", name="Send").click()
    await expect(customer.locator(".turn.person .bubble")).to_have_text(
        "This is Rita. How can I help?"
    )


async def test_an_upload_that_is_too_large_or_unreadable_leaves_nothing_behind(
    open_page: OpenPage, nod: Running, shop: Database
) -> None:
    page = await open_page("/console/knowledge", as_="omar")
    files = page.locator("input[type=file]")
    broken = {"name": "broken.pdf", "mimeType": "application/pdf", "buffer": b"no PDF at all"}
    async with page.expect_request("**/upload/*") as request:
        await files.set_input_files(broken)  # type: ignore[arg-type]
    await expect(page.get_by_text("broken.pdf: the file is damaged")).to_be_visible()
    await page.evaluate(  # a browser's own check binds nobody: send what it would not
        """async (where) => {
            const form = new FormData();
            const half = new Uint8Array(27 << 20).fill(65);
            form.append("file", new File([half, half], "huge.txt"));
            const sent = fetch(where, {method: "POST", body: form});
            document.title = await sent.then((answer) => `answered ${answer.status}`, String);
        }""",
        (await request.value).url,
    )
    await expect(page).to_have_title("answered 413")
    uploads = Path(nod.store_url.split("///")[1]).parent / "uploads"
    left = (".", "broken", "huge")  # a part, or either file
    assert [path.name for path in uploads.iterdir() if path.name.startswith(left)] == []
    async with shop.read() as session:
        stored = list(await session.scalars(select(Document.source)))
    assert [path for path in stored if Path(path).name.startswith(left)] == []


async def test_an_uploaded_document_is_found_by_search(open_page: OpenPage, shop: Database) -> None:
    page = await open_page("/console/knowledge", as_="omar")
    text = b"# Gift cards\n\nGift cards of Linnet & Moss are valid for three years."
    file = {"name": "gift cards.md", "mimeType": "text/markdown", "buffer": text}
    await page.locator("input[type=file]").set_input_files(file)  # type: ignore[arg-type]
    await expect(page.locator("table").get_by_text("gift cards.md")).to_be_visible()
    await page.get_by_label("What would the bot find?").fill("Are gift cards valid for years?")
    await page.get_by_role("button", name="Look up").click()
    await expect(page.locator(".hits li").first).to_contain_text("three years")
