"""`nod retrain` and `nod runs`: train on what was approved, and watch."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from sqlalchemy import select

from app.settings import Settings
from app.terminal import FAILED, CommandError, run, screen, table, when, whoami
from store import Database, Lease, Method, Run, RunEvent, RunState, utc_now

if TYPE_CHECKING:
    from finetune.retrain import Retrainer

PANEL = "Teach"
POLL_S = 0.5
ENDED_WELL = (RunState.promoted, RunState.refused)


def retrain(
    watch: Annotated[
        bool, typer.Option("--watch/--no-watch", help="Stay and show how it goes.")
    ] = True,
    epochs: Annotated[int | None, typer.Option(min=1, max=50, help="Default: auto.")] = None,
    method: Annotated[
        Method, typer.Option(help="sft: on approved replies. dpo: on edits, against their drafts.")
    ] = Method.sft,
) -> None:
    """Train on all approved replies, compare with the live model, and promote it if it is better.

    A running Nod does the work, where there is one: with --no-watch the command returns at once.
    Else it is done here. Ctrl+C only ends the watching: the run goes on at the next start.

    Exits with 0 when the run came to a verdict, promoted or not; with 1 when it failed.

    Examples:

      nod retrain

      nod retrain --epochs 5 --no-watch
    """
    run(lambda settings: _retrain(settings, watch, epochs, method))


runs = typer.Typer(help="What was trained, and what came of it.")


@runs.callback(invoke_without_command=True)
def list_runs(
    context: typer.Context,
    number: Annotated[int, typer.Option("--number", "-n", help="So many at most.")] = 10,
) -> None:
    """Show the last runs."""
    if context.invoked_subcommand is None:
        run(lambda settings: _list(settings, number))


@runs.command()
def show(run_id: Annotated[int, typer.Argument(metavar="RUN")]) -> None:
    """Show one run: its story, its loss and its verdict."""
    run(lambda settings: _show(settings, run_id))


@runs.command()
def cancel(run_id: Annotated[int, typer.Argument(metavar="RUN")]) -> None:
    """Stop a run that is under way."""
    run(lambda settings: _cancel(settings, run_id))


async def _retrain(settings: Settings, watch: bool, epochs: int | None, method: Method) -> None:
    from app.nod import open_store
    from finetune.run import RunActiveError, request_run

    async with open_store(settings) as database:
        try:
            requested = await request_run(
                database,
                trigger="command",
                requested_by=whoami(),
                base_model=settings.base_model,
                method=method,
                hyperparameters={"n_epochs": epochs} if epochs else {},
            )
        except RunActiveError as error:
            screen.print(f"{str(error).split(';')[0]}: watching that one.", highlight=False)
            requested = await _active(database)
        if not watch and await _somebody_steps(database):
            screen.print(f"Run {requested.id} is under way: nod runs show {requested.id}")
            return
        ended = await _watch(settings, database, requested.id)
    screen.print(f"Run {ended.id} is {ended.state}: {_reason(ended)}", highlight=False)
    if ended.state not in ENDED_WELL and ended.state is not RunState.skipped:
        raise typer.Exit(FAILED)


async def _watch(settings: Settings, database: Database, run_id: int) -> Run:
    """Show a run until it ends; advance it, where no scheduler does."""
    shown = _Shown()
    async with AsyncExitStack() as stack:
        retrainer: Retrainer | None = None
        stack.enter_context(Live(get_renderable=shown.render, console=screen, transient=True))
        while True:
            async with database.read() as session:
                now = await session.get_one(Run, run_id)
                events = await _events_after(session, run_id, shown.last_id)
            shown.take(now, events)
            if not now.is_active:
                return now
            if retrainer is None and not await _somebody_steps(database):
                retrainer = await stack.enter_async_context(_retrainer(settings))
            if retrainer is None or not await retrainer.step():
                await asyncio.sleep(POLL_S)


@asynccontextmanager
async def _retrainer(settings: Settings) -> "AsyncIterator[Retrainer]":
    from app.nod import open_nod

    async with open_nod(settings, "retrain") as nod:
        await nod.wait_for_models()
        await nod.knowledge.sync()  # what was approved while nothing ran
        yield nod.retrainer


async def _somebody_steps(database: Database) -> bool:
    """Whether a scheduler is on duty, here or elsewhere."""
    async with database.read() as session:
        lease = await session.get(Lease, "scheduler")
    return lease is not None and lease.expires_at > utc_now()


async def _active(database: Database) -> Run:
    from finetune.run import active_run

    async with database.read() as session:
        active = await active_run(session)
    if active is None:
        raise CommandError("the other run has just ended; ask again")
    return active


class _Shown:
    """What is on the screen: new lines above, the present state below."""

    def __init__(self) -> None:
        self.last_id = 0
        self._state = "..."
        self._metrics: dict[str, Any] = {}

    def take(self, run: Run, events: list[RunEvent]) -> None:
        for event in events:
            self.last_id = event.id
            if "train_loss" in event.data:
                self._metrics = event.data
            else:
                _print_event(event)
        self._state = f"{run.state}" + (f" ({run.job_status})" if run.job_status else "")

    def render(self) -> str:
        step, total = self._metrics.get("step"), self._metrics.get("total_steps")
        loss = self._metrics.get("train_loss")
        said = f"[bold]{self._state}[/]"
        if step is not None:
            said += f"  step {step}{f' of {total}' if total else ''}"
        if loss is not None:
            said += f"  loss {loss:.3f}"
        return said


def _print_event(event: RunEvent) -> None:
    at = f"{event.created_at:%H:%M:%S}"
    screen.print(f"[dim]{at}[/] {escape(event.message)}", highlight=False, soft_wrap=True)


async def _events_after(session: Any, run_id: int, last_id: int) -> list[RunEvent]:
    query = select(RunEvent).where(RunEvent.run_id == run_id, RunEvent.id > last_id)
    return list(await session.scalars(query.order_by(RunEvent.id)))


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
                _reason(each),
            )
    screen.print(shown if shown.row_count else "No run yet: nod retrain starts one.")


async def _show(settings: Settings, run_id: int) -> None:
    from app.nod import open_store

    async with open_store(settings) as database, database.read() as session:
        found = await session.get(Run, run_id)
        if found is None:
            raise CommandError(f"there is no run {run_id}; `nod runs` lists them")
        events = await _events_after(session, run_id, 0)
    screen.print(f"Run {found.id} is {found.state}: {_reason(found)}", highlight=False)
    for event in events:
        if "train_loss" not in event.data:
            _print_event(event)
    _draw_loss([event.data for event in events if "train_loss" in event.data])
    if board := found.verdict.get("scoreboard"):
        screen.print(_scoreboard(board))


def _draw_loss(metrics: list[dict[str, Any]]) -> None:
    if len(metrics) < 2:
        return
    import plotext

    plotext.clear_figure()
    plotext.plot([each["step"] for each in metrics], [each["train_loss"] for each in metrics])
    plotext.title("training loss by step")
    plotext.plotsize(min(screen.width, 80), 14)
    plotext.theme("clear")
    screen.print(plotext.build(), highlight=False, markup=False)


def _scoreboard(board: dict[str, Any]) -> Table:
    first = next(iter(board.values()))
    keys = [key for key, value in first.items() if isinstance(value, int | float)]
    shown = table("", *(f"{key}#" for key in keys))
    for name, scores in board.items():
        values = [scores.get(key) for key in keys]
        shown.add_row(name, *("-" if value is None else f"{value:.4g}" for value in values))
    return shown


async def _cancel(settings: Settings, run_id: int) -> None:
    from app.nod import open_store
    from finetune.run import cancel_run

    async with open_store(settings) as database:
        if not await cancel_run(database, run_id, whoami()):
            raise CommandError(f"there is no active run {run_id}; `nod runs` lists them")
    screen.print(f"Run {run_id} ends at its next step.")


def _reason(run: Run) -> str:
    return run.error or "; ".join(run.verdict.get("reasons", ())) or run.job_status or "-"


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(retrain)
    app.add_typer(runs, name="runs", rich_help_panel=PANEL)
