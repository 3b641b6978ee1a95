"""`nod models`: the tuned models, which of them is live, and the way back."""

from typing import Annotated

import typer
from sqlalchemy import select

from app.settings import Settings
from app.terminal import run, screen, table, when, whoami
from store import ModelVersion, Stage

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
) -> None:
    """Make a model version live: the next message is answered by it."""
    run(lambda settings: _promote(settings, version))


@models.command()
def rollback() -> None:
    """Bring back what was live before; the next message follows."""
    run(_roll_back)


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


async def _promote(settings: Settings, version_id: int) -> None:
    from app.nod import open_store
    from finetune.promote import promote as make_live

    async with open_store(settings) as database, database.write() as session:
        version = await make_live(session, version_id, whoami())
    screen.print(f"Live: {version.model}", highlight=False)


async def _roll_back(settings: Settings) -> None:
    from app.nod import open_store
    from finetune.promote import roll_back

    async with open_store(settings) as database, database.write() as session:
        version = await roll_back(session, whoami())
    screen.print(f"Live: {version.model if version else settings.base_model}", highlight=False)


def add_to(app: typer.Typer) -> None:
    app.add_typer(models, name="models", rich_help_panel="Operate")
