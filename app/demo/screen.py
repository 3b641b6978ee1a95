"""How the demo speaks: headings and progress bars."""

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.terminal import screen


def progress() -> Progress:
    return Progress(
        TextColumn("  {task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=screen,
    )


def say(number: str, text: str) -> None:
    screen.print(f"\n[bold green]{number}[/] [bold]{text}[/]", highlight=False)
