"""`nod doctor`: checks each thing that Nod needs, and says how to mend it."""

import typer

from app.settings import Settings
from app.terminal import FAILED, run, screen, table

MARKS = {"well": "[green]well[/]", "ill": "[red]ill[/]", "odd": "[yellow]odd[/]"}


def doctor() -> None:
    """Check every setting and what it leads to; each finding says how to mend it.

    Checks the data folder, disk, port, database, Chroma, model endpoint, embeddings, trainer,
    judge, Telegram, e-mail, webhook, and what this machine needs to answer and to train. Nothing
    is sent to a person. Exits with 1 when something is ill.

    Examples:

      nod doctor

      NOD_MODEL_BASE_URL=https://api.openai.com/v1 nod doctor
    """
    run(_doctor, log_level="error")


async def _doctor(settings: Settings) -> None:
    from app.doctor import State, examine

    shown = table("", "What", "Finding", "How to mend it")
    is_ill = False
    with screen.status("Checking...") as status:
        async for finding in examine(settings):
            status.update(f"Checked {finding.what}...")
            shown.add_row(MARKS[finding.state], finding.what, finding.said, finding.mend)
            is_ill = is_ill or finding.state is State.ill
    screen.print(shown, highlight=False)
    if is_ill:
        raise typer.Exit(FAILED)


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel="Operate")(doctor)
