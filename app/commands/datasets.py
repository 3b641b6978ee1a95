"""`nod dataset`: the frozen sets of examples."""

import typer
from sqlalchemy import select

from app.settings import Settings
from app.terminal import run, screen, table, when
from store import Dataset

dataset = typer.Typer(help="The frozen sets of examples.", no_args_is_help=True)


@dataset.callback()
def _group() -> None:
    """Keeps `list` a command of its own."""


@dataset.command("list")
def list_() -> None:
    """Show every version: counts, hash and when it was frozen."""
    run(_list)


async def _list(settings: Settings) -> None:
    from app.nod import open_store

    shown = table("Version#", "Train#", "Hold-out#", "SHA-256", "Frozen (UTC)")
    async with open_store(settings) as database, database.read() as session:
        for each in await session.scalars(select(Dataset).order_by(Dataset.version.desc())):
            shown.add_row(
                str(each.version),
                str(each.train_count),
                str(each.holdout_count),
                each.sha256[:16],
                when(each.created_at),
            )
    screen.print(shown if shown.row_count else "No dataset yet: a retrain freezes one.")


def add_to(app: typer.Typer) -> None:
    app.add_typer(dataset, name="dataset", rich_help_panel="Teach")
