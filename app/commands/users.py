"""`nod users`: who may enter the console, and who is an operator on Telegram."""

import sys
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from app import users as people
from app.settings import Settings
from app.terminal import asking, run, screen, table, when, whoami
from store import UserRole

users = typer.Typer(help="Who may enter the console.", no_args_is_help=True)

Act = Callable[..., Awaitable[object]]
Name = Annotated[str, typer.Argument(help="The user's name.")]


@users.command("list")
def list_() -> None:
    """Show all users."""
    run(_list)


@users.command()
def add(
    name: Name,
    role: Annotated[
        UserRole,
        typer.Option(help="reviewer: approve and edit. operator: switch, retrain. owner: all."),
    ] = UserRole.reviewer,
) -> None:
    """Make a user; the password is asked for, or read from a pipe.

    Example: nod users add ada --role operator
    """
    run(lambda settings: _add(settings, name, role))


@users.command("set-role")
def set_role(name: Name, role: UserRole) -> None:
    """Give a user another role: reviewer, operator or owner.

    Example: nod users set-role ada operator
    """
    run(lambda settings: _change(settings, people.set_role, name, role))


@users.command()
def passwd(name: Name) -> None:
    """Set a user's password, and end the user's stays in the console.

    Example: nod users passwd owner
    """
    run(lambda settings: _passwd(settings, name))


@users.command()
def disable(
    name: Name,
    undo: Annotated[bool, typer.Option("--undo", help="Let the user in again.")] = False,
) -> None:
    """Shut a user out at once.

    Example: nod users disable ada
    """
    run(lambda settings: _change(settings, people.set_disabled, name, not undo))


@users.command("link-telegram")
def link_telegram(
    name: Name,
    telegram_id: Annotated[
        int, typer.Argument(help="The user's id on Telegram (the bot tells it: /id); 0 for none.")
    ],
) -> None:
    """Tell which Telegram account is the user's: held drafts and /mode work from there.

    Example: nod users link-telegram ada 123456789
    """
    run(lambda settings: _change(settings, people.link_telegram, name, telegram_id or None))


async def _list(settings: Settings) -> None:
    from sqlalchemy import select

    from app.nod import open_store
    from store import User

    shown = table("Name", "Role", "Telegram", "Since (UTC)", "")
    async with open_store(settings) as database, database.read() as session:
        for user in await session.scalars(select(User).order_by(User.name)):
            state = "[red]disabled[/]" if user.disabled_at else ""
            shown.add_row(
                user.name, user.role, str(user.telegram_id or "-"), when(user.created_at), state
            )
    screen.print(shown)


async def _add(settings: Settings, name: str, role: UserRole) -> None:
    from app.nod import open_store

    password = _ask_password()
    async with open_store(settings) as database:
        user = await people.add_user(database, name, password, role, who=whoami())
    screen.print(f"{user.name} may enter as {user.role}.", highlight=False)


async def _passwd(settings: Settings, name: str) -> None:
    from app.nod import open_store

    async with open_store(settings) as database:
        async with database.read() as session:
            await people.get_user(session, name)  # before anybody thinks of a password
        await people.set_password(database, name, _ask_password(), who=whoami())
    screen.print("Done; the old password and all logins have ended.")


async def _change(settings: Settings, act: Act, name: str, value: object) -> None:
    from app.nod import open_store

    async with open_store(settings) as database, database.write() as session:
        await act(session, name, value, who=whoami())
    screen.print("Done.")


def _ask_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    with asking("nothing is changed. A password may also come from a pipe"):
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def add_to(app: typer.Typer) -> None:
    app.add_typer(users, name="users", rich_help_panel="Operate")
