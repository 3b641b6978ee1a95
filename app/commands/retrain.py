"""`nod retrain`: train on what was approved, and watch."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.commands.runs import print_event, read_events, say_end
from app.settings import Settings
from app.terminal import FAILED, CommandError, run, screen, whoami
from store import Database, Lease, Method, Run, RunEvent, RunState, utc_now

if TYPE_CHECKING:
    from finetune.retrain import Retrainer

PANEL = "Teach"
POLL_S = 0.5
ENDED_WELL = (RunState.promoted, RunState.canary, RunState.refused, RunState.skipped)


def retrain(
    watch: Annotated[
        bool, typer.Option("--watch/--no-watch", help="Stay and show how it goes.")
    ] = True,
    epochs: Annotated[int | None, typer.Option(min=1, max=50, help="Default: auto.")] = None,
    method: Annotated[
        Method, typer.Option(help="sft: on approved replies. dpo: on edits, against their drafts.")
    ] = Method.sft,
    base: Annotated[
        list[str] | None,
        typer.Option(help="Base model; several are trained one after the other and compared."),
    ] = None,
) -> None:
    """Train on all approved replies, compare with the live model, and promote it if it is better.

    A running Nod does the work, where there is one: with --no-watch the command returns at once.
    Else it is done here. Ctrl+C only ends the watching: the run goes on at the next start.

    Exits with 0 when the run came to a verdict, promoted or not, or was skipped with a reason; with
    1 when it failed.

    Examples:

      nod retrain

      nod retrain --epochs 5 --no-watch

      nod retrain --base smollm2-135m-instruct --base ~/qwen3-0.6b-q8_0.gguf
    """
    run(lambda settings: _retrain(settings, watch, epochs, method, base or []))


async def _retrain(
    settings: Settings, watch: bool, epochs: int | None, method: Method, bases: list[str]
) -> None:
    from app.nod import open_store
    from finetune.run import RunActiveError, request_run

    base_model, *rivals = list(dict.fromkeys(bases)) or [settings.base_model]
    _check_bases(settings, [base_model, *rivals])
    async with open_store(settings) as database:
        try:
            requested = await request_run(
                database,
                trigger="command",
                requested_by=whoami(),
                base_model=base_model,
                rivals=rivals,
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
    for each in ended:
        screen.print(f"Run {each.id} is {each.state}: {say_end(each)}", highlight=False)
    if not any(each.state in ENDED_WELL for each in ended):
        raise typer.Exit(FAILED)


def _check_bases(settings: Settings, bases: list[str]) -> None:
    """Our own model server holds what the settings name, and nothing else."""
    unknown = [base for base in bases if base not in settings.base_models]
    if settings.runs_model_server and unknown:
        raise CommandError(
            f"our own model server does not hold {', '.join(unknown)}: set NOD_RIVAL_BASE_MODELS="
            f"{','.join(unknown)} and start Nod again"
        )


async def _watch(settings: Settings, database: Database, run_id: int) -> list[Run]:
    """Show a run, and those of its contest, until they end; advance them, where nobody does."""
    shown = _Shown()
    async with AsyncExitStack() as stack:
        retrainer: Retrainer | None = None
        stack.enter_context(Live(get_renderable=shown.render, console=screen, transient=True))
        while True:
            async with database.read() as session:
                runs = await _contest_of(session, run_id)
                now = next((run for run in runs if run.is_active), None)
                events = await read_events(session, (now or runs[-1]).id, shown.last_id)
            shown.take(now or runs[-1], events)
            if now is None:
                return runs
            if retrainer is None and not await _somebody_steps(database):
                retrainer = await stack.enter_async_context(_retrainer(settings))
            if retrainer is None or not await retrainer.step():
                await asyncio.sleep(POLL_S)


async def _contest_of(session: AsyncSession, run_id: int) -> list[Run]:
    """A run alone, or all runs of its contest so far."""
    runs = await session.scalars(
        select(Run)
        .where(or_(Run.id == run_id, Run.contest_id == run_id))
        .order_by(Run.id)
        .execution_options(populate_existing=True)
    )
    return list(runs)


@asynccontextmanager
async def _retrainer(settings: Settings) -> "AsyncIterator[Retrainer]":
    from app.announcing.senders import open_announcer
    from app.nod import open_nod

    async with open_nod(settings, "retrain") as nod:
        await nod.wait_for_models()
        await nod.knowledge.sync()  # what was approved while nothing ran
        yield nod.retrainer
        while await nod.retrainer.step():  # what the run left at the provider
            pass
        async with open_announcer(settings, nod.database) as announcer:
            while await announcer.step():
                pass


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
                print_event(event)
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


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(retrain)
