"""`nod forget`: delete a conversation everywhere, and what was learnt from it."""

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import typer
from sqlalchemy import func, select

from app.settings import Settings
from app.terminal import CommandError, asking, run, screen, table, when, whoami
from store import Conversation, Database, Forgetting, ForgettingState, Lease, utc_now

if TYPE_CHECKING:
    from finetune.forget import Forgetter

LOOK_EVERY_S = 0.3


def forget(
    address: Annotated[
        str,
        typer.Argument(
            metavar="ADDRESS", help="A chat id, a conversation's id (in the console's URL), ..."
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a conversation everywhere, from its turns to the lines of datasets and their files.

    Model versions that were trained on it are marked as tainted (`nod models`); the next retrain
    replaces a tainted live one. Customers can ask for the same with /forget.

    Examples:

      nod forget 123456789

      nod forget 50702c30de29d1440c221aa2e70f19a4 --yes
    """
    run(lambda settings: _forget(settings, address, yes))


async def _forget(settings: Settings, address: str, is_sure: bool) -> None:
    from app.nod import open_store
    from bot.forgetting import ask_to_forget
    from finetune.forget import find_conversations

    async with open_store(settings) as database:
        found = await find_conversations(database, address)
        if not found:
            raise CommandError(
                f"no conversation has the address or id {address!r}; the console's page "
                f"Conversations finds them by words and names"
            )
        _show(found)
        if not is_sure and not _is_wanted():
            raise typer.Exit(1)
        for conversation, _ in found:
            async with database.write() as session:
                await session.run_sync(ask_to_forget, conversation.id, whoami())
        await _wait(settings, database, [conversation.id for conversation, _ in found])


def _is_wanted() -> bool:
    with asking("nothing is deleted. --yes says yes"):
        return typer.confirm("Delete for good?")


def _show(found: list[tuple[Conversation, int]]) -> None:
    shown = table("Channel", "Customer", "Turns#", "Since (UTC)", "Last (UTC)")
    for conversation, turns in found:
        shown.add_row(
            conversation.channel,
            conversation.customer_name or "-",
            str(turns),
            when(conversation.created_at),
            when(conversation.updated_at),
        )
    screen.print(shown, highlight=False)


async def _wait(settings: Settings, database: Database, ids: list[str]) -> None:
    """A running Nod does it, where there is one; else it is done here."""
    async with AsyncExitStack() as stack:
        forgetter: Forgetter | None = None
        with screen.status("Forgetting..."):
            while await _are_left(database, ids):
                if forgetter is None and not await _somebody_is_on_duty(database):
                    from app.nod import open_nod

                    nod = await stack.enter_async_context(open_nod(settings, "forget"))
                    forgetter = nod.forgetter
                if forgetter is None or not await forgetter.step():
                    await asyncio.sleep(LOOK_EVERY_S)
    screen.print("Forgotten. `nod models` shows which model versions had learnt from it.")


async def _are_left(database: Database, ids: list[str]) -> bool:
    async with database.read() as session:
        left = (
            select(func.count())
            .select_from(Forgetting)
            .where(Forgetting.conversation_id.in_(ids), Forgetting.state != ForgettingState.done)
        )
        return bool(await session.scalar(left))


async def _somebody_is_on_duty(database: Database) -> bool:
    async with database.read() as session:
        lease = await session.get(Lease, "scheduler")
    return lease is not None and lease.expires_at > utc_now()


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel="Operate")(forget)
