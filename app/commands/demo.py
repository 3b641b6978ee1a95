"""`nod demo`: the main job, played in a terminal."""

from pathlib import Path
from typing import Annotated

import typer

from app.settings import Settings
from app.terminal import run


def demo(
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there, too.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, max=50, help="Over the training examples.")
    ] = None,
) -> None:
    """Watch it learn: ask, review, train, evaluate, promote, ask again.

    A real model is really trained: that takes minutes. The data folder is its own, yours is not
    touched. The questions at the end were not trained on.

    Example: nod demo --json demo.json
    """
    run(lambda settings: _demo(settings, json_path, epochs), log_level="error")


async def _demo(settings: Settings, json_path: Path | None, epochs: int | None) -> None:
    from app.demo import EPOCHS, run_demo

    await run_demo(settings, json_path=json_path, epochs=epochs or EPOCHS)


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel="Run")(demo)
