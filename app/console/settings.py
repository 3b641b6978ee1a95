"""Settings: mode, policy and schedule; masks; the users; who changed what."""

from dataclasses import asdict
from typing import Any

from nicegui import ui
from sqlalchemy import select

from app.console.layout import add_page
from app.console.pieces import box, button, cells, chip, field, heading, table, tag, when
from app.console.visit import Desk, Visit
from app.cron import read_cron
from app.users import add_user, set_disabled, set_password, set_role
from bot.masks import edit_mask, list_masks, set_default
from store import AuditEntry, Mask, Mode, Policy, User, UserRole
from store.switches import read_switches, set_switch

AUDITED = 100
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
    await _show_masks(visit)
    if visit.may(UserRole.owner):
        await _show_users(visit)
    await _show_own_password(visit)
    await _show_audit(visit)


async def _show_switches(visit: Visit) -> None:
    page = box("stack")

    async def read() -> dict[str, Any]:
        async with visit.database.read() as session:
            return asdict(await read_switches(session))

    async def show(now: dict[str, Any]) -> None:
        page.clear()
        with page:
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

            _save_button(visit, save)


def _save_button(visit: Visit, save: Any, needed: UserRole = UserRole.operator) -> None:
    with box("actions wide"):
        button(visit.say("Save"), visit.doing(needed, save), is_off=not visit.may(needed))


async def _switch(visit: Visit, key: str, value: Any) -> None:
    async with visit.database.write() as session:
        await set_switch(session, key, value, who=visit.user.name)


async def _show_masks(visit: Visit) -> None:
    with box("section"):
        tag("h2", visit.say("Masks"))
        page = box("stack")

    async def show() -> None:
        async with visit.database.read() as session:
            masks = await list_masks(session)
        page.clear()
        with page:
            for mask in masks:
                _mask(visit, mask, show)
            if visit.may(UserRole.operator):
                _new_mask(visit, show)

    await show()


def _mask(visit: Visit, mask: Mask, refresh: Any) -> None:
    say = visit.say

    async def make_default() -> None:
        async with visit.database.write() as session:
            await set_default(session, mask.name, who=visit.user.name)
        await refresh()

    with box("card mask", "details"):
        with box("", "summary"):
            tag("strong", mask.name)
            if mask.is_default:
                chip(say("Default"), "good")
            tag("span", mask.system_prompt, "muted cut")
        with box("stack"):
            prompt = field(
                say("System prompt"), ui.textarea(value=mask.system_prompt).props("autogrow")
            )
            with box("row"):
                temperature = field(
                    say("Temperature"),
                    ui.number(value=mask.temperature, min=0, max=2, step=0.1),
                )
                tokens = field(
                    say("Tokens at most"),
                    ui.number(value=mask.max_tokens, min=1, max=4096, precision=0),
                )
            if mask.few_shot:
                tag("p", say("{n} turns are shown first", n=len(mask.few_shot)), "muted")

            async def save() -> None:
                async with visit.database.write() as session:
                    await edit_mask(
                        session,
                        mask.name,
                        who=visit.user.name,
                        system_prompt=prompt.value or "",
                        temperature=float(temperature.value or 0),
                        max_tokens=int(tokens.value or 0),
                    )
                visit.tell(say("Saved"))
                await refresh()

            _save_button(visit, save)
            if not mask.is_default and visit.may(UserRole.operator):
                button(say("Make it the default"), visit.doing(UserRole.operator, make_default))


def _new_mask(visit: Visit, refresh: Any) -> None:
    with box("row"):
        name = field(visit.say("New mask"), ui.input().props("maxlength=64"))

        async def make() -> None:
            if wanted := (name.value or "").strip():
                async with visit.database.write() as session:
                    await edit_mask(session, wanted, who=visit.user.name)
                await refresh()

        button(visit.say("Add"), visit.doing(UserRole.operator, make), picture="add")


async def _show_users(visit: Visit) -> None:
    with box("section"):
        tag("h2", visit.say("Users"))
        page = box("stack")

    async def show() -> None:
        async with visit.database.read() as session:
            users = list(await session.scalars(select(User).order_by(User.name)))
        page.clear()
        with page:
            _users_table(visit, users, show)
            _new_user(visit, show)

    await show()


def _users_table(visit: Visit, users: list[User], refresh: Any) -> None:
    say = visit.say
    headers = (say("Name"), say("Role"), "Telegram", say("Since"), "")
    with table(headers, label=say("Users")):
        for user in users:
            with box("", "tr"):
                with box("", "td"):
                    tag("strong", user.name)
                    if user.disabled_at:
                        chip(say("disabled"), "bad")
                with box("", "td"):
                    _role_choice(visit, user, refresh)
                tag("td", str(user.telegram_id or "–"))
                with box("", "td"):
                    when(visit, user.created_at)
                with box("", "td"), box("actions"):
                    _disable_button(visit, user, refresh)


def _role_choice(visit: Visit, user: User, refresh: Any) -> None:
    options = {role.value: visit.say(role.value) for role in UserRole}
    choice = ui.select(options, value=user.role.value).props("outlined dense options-dense")
    choice.props["aria-label"] = visit.say("Role")

    async def change() -> None:
        try:
            async with visit.database.write() as session:
                await set_role(session, user.name, UserRole(choice.value), who=visit.user.name)
        finally:
            await refresh()

    choice.on_value_change(visit.doing(UserRole.owner, change))


def _disable_button(visit: Visit, user: User, refresh: Any) -> None:
    async def change() -> None:
        async with visit.database.write() as session:
            await set_disabled(session, user.name, user.disabled_at is None, who=visit.user.name)
        await refresh()

    label = visit.say("Let in again") if user.disabled_at else visit.say("Shut out")
    act = visit.doing(UserRole.owner, change)
    button(label, act, kind="quiet", is_off=user.id == visit.user.id)


def _new_user(visit: Visit, refresh: Any) -> None:
    say = visit.say
    with box("card grid", "form"):
        name = field(say("Name"), ui.input().props("maxlength=64 autocomplete=off"))
        password = field(
            say("Password"),
            ui.input(password=True).props("autocomplete=new-password"),
            hint=say("8 characters or more"),
        )
        roles = {role.value: say(role.value) for role in UserRole}
        role = field(say("Role"), ui.select(roles, value=UserRole.reviewer.value))

        async def make() -> None:
            await add_user(
                visit.database,
                name.value or "",
                password.value or "",
                UserRole(role.value),
                who=visit.user.name,
            )
            visit.tell(say("{name} may enter now", name=name.value))
            await refresh()

        with box("actions wide"):
            button(say("Add user"), visit.doing(UserRole.owner, make), picture="person_add")


async def _show_own_password(visit: Visit) -> None:
    say = visit.say
    with box("section"):
        tag("h2", say("Your password"))
        with box("card row"):
            fresh = field(
                say("New password"),
                ui.input(password=True).props("autocomplete=new-password"),
                hint=say("8 characters or more; you log in again after"),
            )

            async def change() -> None:
                me = visit.user.name
                await set_password(visit.database, me, fresh.value or "", who=me)
                ui.navigate.to("/login")

            button(say("Change"), visit.doing(UserRole.reviewer, change))


async def _show_audit(visit: Visit) -> None:
    if not visit.may(UserRole.operator):
        return
    query = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(AUDITED)
    async with visit.database.read() as session:
        entries = list(await session.scalars(query))
    headers = (visit.say("When"), visit.say("Who"), visit.say("What"), visit.say("Details"))
    with box("section"):
        tag("h2", visit.say("Who changed what"))
        with table(headers, label=visit.say("Who changed what")):
            for entry in entries:
                detail = ", ".join(f"{key}: {value}" for key, value in entry.detail.items())
                at = f"{entry.at:%Y-%m-%d %H:%M}"
                cells(at, entry.who, visit.say(entry.action), detail[:300])
