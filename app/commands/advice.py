"""`nod advice`: is tuning worth it here?"""

from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from app.commands.runs import show_scoreboard
from app.settings import Settings
from app.terminal import run, screen, table

if TYPE_CHECKING:
    from finetune.advice import Advice


def advice() -> None:
    """Say whether tuning is worth it here, or a prompt, or looking up, is enough.

    The last run has asked the held-out questions in every mode: the base model alone, with approved
    examples in its prompt, with what it can look up, and the tuned model without and with it. The
    cheaper way wins unless the dearer one is better beyond doubt.
    """
    run(_advice)


async def _advice(settings: Settings) -> None:
    from app.nod import open_store
    from finetune.advice import advise

    async with open_store(settings) as database:
        given = await advise(database, settings.gate_confidence)
    screen.print(f"[bold]{escape(given.summary)}[/]", highlight=False)
    if given.caveat:
        screen.print(f"[yellow]{escape(given.caveat)}[/]", highlight=False)
    _show_steps(given)
    screen.print(show_scoreboard(given.scoreboard))
    screen.print(f"[dim]From run {given.run.id}: nod runs show {given.run.id}[/]", highlight=False)


def _show_steps(given: "Advice") -> None:
    shown = table("Way", "Against", "chrF#", "From#", "To#", "Facts#", "Tokens#", "Worth it")
    for step in given.steps:
        gain = step.gain
        shown.add_row(
            step.way,
            step.against,
            *(f"{value:+.1f}" for value in (gain.mean, gain.low, gain.high)),
            f"{step.facts.mean:+.2f}" if step.facts else "-",
            f"{step.tokens:+.0f}",
            "[green]yes[/]" if step.is_worth_it else "not shown",
        )
    screen.print(shown)


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel="Teach")(advice)
