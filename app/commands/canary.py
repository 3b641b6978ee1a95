"""`nod canary`: let a share of the conversations try a candidate before it goes live."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from app.settings import Settings
from app.terminal import CommandError, run, screen, whoami

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


def canary(
    share: Annotated[
        float | None,
        typer.Argument(metavar="[SHARE]", help="0 to 0.5 of the conversations; 0 is off."),
    ] = None,
    start: Annotated[
        int | None, typer.Option(metavar="VERSION", help="Try this model version.")
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="End it; the version is retired.")] = False,
) -> None:
    """Show how the canary stands, set its share, or start or stop one.

    With a share above 0, a candidate that passes the gate is tried by that share of the
    conversations first, always the same ones. Thumbs and reviews decide: it is rolled back when it
    does worse beyond doubt, and goes live when it is proven to do as well.

    Examples:

      nod canary 0.1

      nod canary --start 4
    """
    run(lambda settings: _canary(settings, share, start, stop))


async def _canary(settings: Settings, share: float | None, start: int | None, stop: bool) -> None:
    from app.nod import open_store
    from finetune.promote import canary_version, end_canary, start_canary
    from store import Stage
    from store.switches import set_switch

    async with open_store(settings) as database:
        async with database.write() as session:
            if share is not None:
                await set_switch(session, "canary_share", share, who=whoami())
            if stop:
                version = await canary_version(session)
                if version is None:
                    raise CommandError("there is no canary to stop")
                await end_canary(session, version, Stage.retired, f"stopped by {whoami()}")
            if start is not None:
                await start_canary(session, start, whoami())
        async with database.read() as session:
            await _show(session)


async def _show(session: "AsyncSession") -> None:
    from finetune.canary import read_standing
    from finetune.promote import canary_version
    from store.switches import read_switches

    share = (await read_switches(session)).canary_share
    screen.print(f"share: {share:.0%}" if share else "share: 0 (off)", highlight=False)
    version = await canary_version(session)
    if version is None:
        screen.print("No canary: nobody tries a candidate now.")
        return
    standing = await read_standing(session, version)
    screen.print(f"canary: version {version.id}, {escape(version.model)}", highlight=False)
    screen.print(
        f"judged conversations: {standing.canary.conversations} with it, "
        f"{standing.live.conversations} without",
        highlight=False,
    )
    if reason := version.canary.get("reason"):
        screen.print(f"last look: {escape(reason)}", highlight=False)


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel="Operate")(canary)
