"""The people on the settings page: the users of the shop, and one's own password."""

from typing import Any

from nicegui import ui
from sqlalchemy import select

from app.console.pieces import box, button, chip, dialog_of, field, table, tag, when
from app.console.visit import Visit
from app.users import (
    UserError,
    add_user,
    link_telegram,
    set_disabled,
    set_password,
    set_role,
)
from store import User, UserRole


async def show_users(visit: Visit) -> None:
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
    with table(headers, label=say("Users"), lesser=(2, 3)):
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
                    _change_button(visit, user, refresh)
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


def _change_button(visit: Visit, user: User, refresh: Any) -> None:
    """The Telegram account, and a new password for who has forgotten the old one."""
    say = visit.say
    with dialog_of(user.name) as dialog:
        telegram = field(
            say("Telegram id"),
            ui.input(value=str(user.telegram_id or "")).props("inputmode=numeric maxlength=20"),
            hint=say("The bot tells it by /id; empty: none"),
        )
        password = field(
            say("New password"),
            ui.input(password=True).props("autocomplete=new-password"),
            hint=say("8 characters or more; empty: as it is"),
        )

        async def change() -> None:
            wanted = (telegram.value or "").strip()
            if wanted and not (wanted.isascii() and wanted.isdigit()):
                raise UserError(f"the Telegram id {wanted!r} is not a number")
            number = int(wanted) if wanted else None
            if password.value:
                await set_password(visit.database, user.name, password.value, who=visit.user.name)
            if number != user.telegram_id:
                async with visit.database.write() as session:
                    await link_telegram(session, user.name, number, who=visit.user.name)
            dialog.close()
            visit.tell(say("Saved"))
            await refresh()

        with box("actions"):
            button(say("Save"), visit.doing(UserRole.owner, change), kind="main")
            button(say("Cancel"), dialog.close, kind="quiet")
    button(say("Change"), dialog.open, kind="quiet")


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


async def show_own_password(visit: Visit) -> None:
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
