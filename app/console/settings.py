"""Settings: mode, policy and schedule; masks; the users; who changed what."""

from dataclasses import asdict
from typing import Any

from nicegui import ui

from app.console.audit import show_audit
from app.console.layout import add_page
from app.console.masks import show_masks
from app.console.people import show_own_password, show_users
from app.console.pieces import box, field, heading, save_button, tag
from app.console.visit import Desk, Visit
from app.cron import read_cron
from store import Mode, Policy, UserRole
from store.switches import read_lost_switches, read_switches, set_switch

MODES = {
    Mode.auto: "Approved reply, tuned model when sure, else retrieval, else a person",
    Mode.hybrid: "The tuned model with context",
    Mode.tuned: "The tuned model alone",
    Mode.retrieval: "The base model with context",
    Mode.base: "The base model alone",
}
POLICIES = {
    Policy.send: "Sent at once, and queued for review",
    Policy.hold_unsure: "Held only when the answer is unsure",
    Policy.hold: "Held until a person approves it",
}


def add(desk: Desk) -> None:
    add_page(desk, "/settings", "Settings", _show)


async def _show(visit: Visit) -> None:
    heading(visit.say("Settings"))
    await _show_switches(visit)
    await show_masks(visit)
    if visit.may(UserRole.owner):
        await show_users(visit)
    await show_own_password(visit)
    await show_audit(visit)


async def _show_switches(visit: Visit) -> None:
    page = box("stack")

    async def read() -> tuple[dict[str, Any], list[str]]:
        async with visit.database.read() as session:
            return asdict(await read_switches(session)), await read_lost_switches(session)

    async def show(found: tuple[dict[str, Any], list[str]]) -> None:
        now, lost = found
        page.clear()
        with page:
            for problem in lost:
                words = visit.say("Stored, but it means nothing here: {problem}", problem=problem)
                tag("p", words, "problem")
            _choices(visit, "mode", visit.say("Where answers come from"), MODES, now, refresh)
            title = visit.say("What happens to an answer before the customer gets it")
            _choices(visit, "policy", title, POLICIES, now, refresh)
            _schedule(visit, now, refresh)

    look = visit.live(read, show, every_s=3.0)

    async def refresh() -> None:
        await look()

    await look()


def _choices(
    visit: Visit, key: str, title: str, options: dict[Any, str], now: dict[str, Any], refresh: Any
) -> None:
    with box("section"):
        tag("h2", title)
        with box("choices", role="radiogroup", aria_label=title):
            for option, words in options.items():

                async def choose(option: Any = option) -> None:
                    await _switch(visit, key, option.value)
                    await refresh()

                choice = box(
                    "choice", "button", type="button", role="radio",
                    aria_checked="true" if now[key] == option else "false",
                    disabled=not visit.may(UserRole.operator),
                )  # fmt: skip
                choice.on("click", visit.doing(UserRole.operator, choose), [])
                with choice:
                    tag("strong", visit.say(option.value))
                    tag("span", visit.say(words))


def _schedule(visit: Visit, now: dict[str, Any], refresh: Any) -> None:
    say = visit.say
    with box("section"):
        tag("h2", say("When to retrain"))
        with box("card grid"):
            cron = field(
                say("By the clock"),
                ui.input(value=now["retrain_cron"], placeholder="0 3 * * *"),
                hint=say("Cron's five fields, UTC; empty: never"),
            )
            count = field(
                say("By the count of new examples"),
                ui.number(value=now["retrain_min_examples"], min=0, precision=0),
                hint=say("0: never"),
            )

            async def save() -> None:
                if wanted := (cron.value or "").strip():
                    read_cron(wanted)  # or it says what is wrong, and nothing is saved
                await _switch(visit, "retrain_cron", wanted)
                await _switch(visit, "retrain_min_examples", int(count.value or 0))
                visit.tell(say("Saved"))
                await refresh()

            save_button(visit, save)


async def _switch(visit: Visit, key: str, value: Any) -> None:
    async with visit.database.write() as session:
        await set_switch(session, key, value, who=visit.user.name)
