"""`nod models`: the tuned models, which of them is live, and the way back."""

from typing import Annotated

import typer
from rich.markup import escape
from sqlalchemy import select

from app.settings import Settings
from app.terminal import asking, run, screen, table, when, whoami
from store import ModelVersion, Stage

Sure = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask where the version is tainted.")]

models = typer.Typer(help="The tuned models: promote one, or roll back.")


@models.callback(invoke_without_command=True)
def _list_by_default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        run(_list)


@models.command("list")
def list_() -> None:
    """Show the model versions, the newest first.

    Tainted is what was trained on a conversation that has been forgotten since.
    """
    run(_list)


@models.command()
def promote(
    version: Annotated[int, typer.Argument(metavar="VERSION", help="From `nod models list`.")],
    yes: Sure = False,
) -> None:
    """Make a model version live: the next message is answered by it.

    Asks first where it was trained on a conversation that was forgotten since.

    Example: nod models promote 3
    """
    run(lambda settings: _promote(settings, version, yes))


@models.command()
def rollback(yes: Sure = False) -> None:
    """Bring back what was live before; the next message follows.

    Asks first where that was trained on a conversation that was forgotten since.
    """
    run(lambda settings: _roll_back(settings, yes))


async def _list(settings: Settings) -> None:
    from app.nod import open_store

    shown = table("Version#", "Stage", "Model", "Made (UTC)", "Live since (UTC)", "Run#")
    tainted = False
    async with open_store(settings) as database, database.read() as session:
        for version in await session.scalars(select(ModelVersion).order_by(ModelVersion.id.desc())):
            stage = f"[green]{version.stage}[/]" if version.stage is Stage.live else version.stage
            if version.tainted_at is not None:
                stage += ", [red]tainted[/]"
                tainted = True
            live_since = version.promoted_at if version.stage is Stage.live else None
            shown.add_row(
                str(version.id),
                stage,
                version.model,
                when(version.created_at),
                when(live_since),
                str(version.run_id or "-"),
            )
    screen.print(shown if shown.row_count else "No tuned model yet: nod retrain makes one.")
    if tainted:
        screen.print(
            "Tainted: it has learnt what was forgotten since. The next nod retrain heals it."
        )


async def _promote(settings: Settings, version_id: int, is_sure: bool) -> None:
    from app.nod import open_store
    from finetune.promote import get_version
    from finetune.promote import promote as make_live

    async with open_store(settings) as database:
        async with database.read() as session:
            wanted = await get_version(session, version_id)
        may = _ask_if_tainted(wanted, is_sure)
        async with database.write() as session:
            version = await make_live(session, version_id, whoami(), even_tainted=may)
    screen.print(f"Live: {version.model}", highlight=False)


async def _roll_back(settings: Settings, is_sure: bool) -> None:
    from app.nod import open_store
    from finetune.promote import live_version, roll_back, version_before

    async with open_store(settings) as database:
        async with database.read() as session:
            live = await live_version(session)
            before = await version_before(session, live) if live else None
        may = _ask_if_tainted(before, is_sure)
        async with database.write() as session:
            seen = live.id if live else None
            version = await roll_back(session, whoami(), seen=seen, even_tainted=may)
    screen.print(f"Live: {version.model if version else settings.base_model}", highlight=False)


def _ask_if_tainted(version: ModelVersion | None, is_sure: bool) -> bool:
    """Whether a tainted version was wanted knowingly; asks outside any transaction."""
    from finetune.promote import why_tainted

    if version is None or version.tainted_at is None or version.stage is Stage.live:
        return False
    why = escape(why_tainted(version))
    screen.print(f"[red]Tainted:[/] {why}.", soft_wrap=True, highlight=False)
    if not is_sure:
        with asking("nothing is changed. --yes says yes"):
            is_sure = typer.confirm("Let it answer customers all the same?")
    if not is_sure:
        raise typer.Exit(1)
    return True


def add_to(app: typer.Typer) -> None:
    app.add_typer(models, name="models", rich_help_panel="Operate")
