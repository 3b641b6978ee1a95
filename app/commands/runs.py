"""`nod runs`: what was trained, and what came of it."""

from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.settings import Settings
from app.terminal import CommandError, run, screen, table, when, whoami
from store import Run, RunEvent

WIDE = 1000
"""Columns; more than any table takes."""

runs = typer.Typer(help="What was trained, and what came of it: `nod runs` shows the last ones.")


@runs.callback(invoke_without_command=True)
def list_runs(
    context: typer.Context,
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="So many at most.")] = 10,
) -> None:
    """Show the last runs."""
    if context.invoked_subcommand is None:
        run(lambda settings: _list(settings, number))


@runs.command()
def show(
    run_id: Annotated[int, typer.Argument(metavar="RUN", help="Its number, from `nod runs`.")],
) -> None:
    """Show one run: its story, its loss, the gate's verdict with its reasons, and the scores.

    Example: nod runs show 12
    """
    run(lambda settings: _show(settings, run_id))


@runs.command()
def cancel(
    run_id: Annotated[int, typer.Argument(metavar="RUN", help="Its number, from `nod runs`.")],
) -> None:
    """Stop a run that is under way.

    Example: nod runs cancel 12
    """
    run(lambda settings: _cancel(settings, run_id))


async def _list(settings: Settings, number: int) -> None:
    from app.nod import open_store

    shown = table("Run#", "Began (UTC)", "By", "State", "What came of it")
    async with open_store(settings) as database, database.read() as session:
        for each in await session.scalars(select(Run).order_by(Run.id.desc()).limit(number)):
            shown.add_row(
                str(each.id),
                when(each.created_at),
                each.requested_by or each.trigger,
                each.state,
                say_end(each),
            )
    screen.print(shown if shown.row_count else "No run yet: nod retrain starts one.")


async def _show(settings: Settings, run_id: int) -> None:
    from app.nod import open_store

    async with open_store(settings) as database, database.read() as session:
        found = await session.get(Run, run_id)
        if found is None:
            raise CommandError(f"there is no run {run_id}; `nod runs` lists them")
        events = await read_events(session, run_id, 0)
    screen.print(f"Run {found.id} is {found.state}: {say_end(found)}", highlight=False)
    for event in events:
        if "train_loss" not in event.data:
            print_event(event)
    _draw_loss([event.data for event in events if "train_loss" in event.data])
    _show_verdict(found)


def _show_verdict(run: Run) -> None:
    """Why, in full, and the scores of each mode."""
    findings = run.verdict.get("findings") or []
    if findings:
        shown = table("Measure", "Passes", "Gain#", "From#", "To#", title="The gate")
        for each in findings:
            gain = each.get("gain") or {}
            figures = (f"{gain[key]:+.3f}" if gain else "-" for key in ("mean", "low", "high"))
            passes = "[green]yes[/]" if each["passes"] else "[red]no[/]"
            shown.add_row(escape(each["name"]), passes, *figures)
        screen.print(shown)
    for reason in run.verdict.get("reasons") or []:
        screen.print(f"- {escape(reason)}", highlight=False)
    if run.cost:
        screen.print(f"Cost: {run.cost:.2f}", highlight=False)
    if board := run.verdict.get("scoreboard"):
        screen.print(show_scoreboard(board))


def print_event(event: RunEvent) -> None:
    at = f"{event.created_at:%H:%M:%S}"
    screen.print(f"[dim]{at}[/] {escape(event.message)}", highlight=False, soft_wrap=True)


async def read_events(session: AsyncSession, run_id: int, last_id: int) -> list[RunEvent]:
    """A run's events after the one that was seen last."""
    query = select(RunEvent).where(RunEvent.run_id == run_id, RunEvent.id > last_id)
    return list(await session.scalars(query.order_by(RunEvent.id)))


def _draw_loss(metrics: list[dict[str, Any]]) -> None:
    if len(metrics) < 2:
        return
    import plotext

    plotext.clear_figure()
    plotext.plot([each["step"] for each in metrics], [each["train_loss"] for each in metrics])
    plotext.title("training loss by step")
    plotext.plotsize(min(screen.width, 80), 14)
    plotext.theme("clear")
    # As text of our own: colours go where no terminal is, or none are wanted.
    screen.print(Text.from_ansi(str(plotext.build())))


def show_scoreboard(board: dict[str, Any]) -> RenderableType:
    """A row a mode; the measures, the time and the tokens. Where they do not fit side by side, time
    and tokens follow."""
    every = {key: None for scores in board.values() for key, value in scores.items()}
    keys = [key for key in every if key != "ways"]
    whole = _scores(board, keys, "Scores by mode")
    unbounded = screen.options.update(width=WIDE)
    if Measurement.get(screen, unbounded, whole).maximum <= screen.width:
        return whole
    costs = [key for key in keys if key.endswith(("_ms", "_tokens"))]
    measures = [key for key in keys if key not in costs]
    return Group(_scores(board, measures, "Scores by mode", ".2f"), _scores(board, costs, "Costs"))


def _scores(board: dict[str, Any], keys: list[str], title: str, form: str = ".4g") -> Table:
    shown = table("", *(f"{key}#" for key in keys), title=title)
    for name, scores in board.items():
        values = [scores.get(key) for key in keys]
        shown.add_row(
            name,
            *(
                "-" if value is None else f"{value:{form if isinstance(value, float) else ''}}"
                for value in values
            ),
        )
    return shown


async def _cancel(settings: Settings, run_id: int) -> None:
    from app.nod import open_store
    from finetune.run import cancel_run

    async with open_store(settings) as database:
        if not await cancel_run(database, run_id, whoami()):
            raise CommandError(f"there is no active run {run_id}; `nod runs` lists them")
    screen.print(f"Run {run_id} ends at its next step.")


def say_end(run: Run) -> str:
    """What came of it, in a line: what speaks against a candidate comes first."""
    return run.error or "; ".join(run.verdict.get("reasons", ())[:2]) or run.job_status or "-"


def add_to(app: typer.Typer) -> None:
    app.add_typer(runs, name="runs", rich_help_panel="Teach")
