"""`nod status`: how Nod is doing, at a glance."""

import typer
from rich.markup import escape
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.home import read_holder
from app.lease import SCHEDULER
from app.settings import Settings
from app.terminal import run, screen, table
from store import (
    Chunk,
    Conversation,
    Document,
    Lease,
    ModelVersion,
    Reply,
    ReplyStatus,
    Stage,
    Turn,
    utc_now,
)
from store import TurnState as State
from store.switches import read_lost_switches, read_switches


def status() -> None:
    """Show how Nod is doing: what runs, what waits, what is live."""
    run(_status)


async def _status(settings: Settings) -> None:
    from app.nod import open_store
    from finetune.promote import canary_version
    from finetune.run import active_run, count_new_examples

    async with open_store(settings) as database, database.read() as session:
        switches = await read_switches(session)
        lost = await read_lost_switches(session)
        live = await session.scalar(select(ModelVersion).where(ModelVersion.stage == Stage.live))
        canary = await canary_version(session)
        active = await active_run(session)
        rows = {
            "running": await _running(session, settings),
            "data folder": str(settings.home),
            "mode, policy": f"{switches.mode}, {switches.policy}",
            "live model": live.model if live else f"{settings.base_model} (base)",
            "canary": f"{canary.model} for {switches.canary_share:.0%}" if canary else "none",
            "run": f"{active.id} is {active.state}" if active else "none",
            "new examples": str(await count_new_examples(session)),
            "conversations": str(await _count(session, Conversation.id)),
            "turns that wait": str(
                await _count(session, Turn.id, Turn.state.in_((State.waiting, State.answering)))
            ),
            "replies to review": str(await _count(session, Reply.id, Reply.needs_review)),
            "replies held": str(await _count(session, Reply.id, Reply.status == ReplyStatus.held)),
            "documents, chunks": f"{await _count(session, Document.id)}, "
            f"{await _count(session, Chunk.id)}",
        }
    shown = table("", "")
    for name, value in rows.items():
        shown.add_row(f"[dim]{name}[/]", value)
    screen.print(shown, highlight=False)
    for problem in lost:
        screen.print(f"[yellow]switch:[/] {escape(problem)}", soft_wrap=True, highlight=False)


async def _running(session: AsyncSession, settings: Settings) -> str:
    if not settings.is_for_one_process:
        return await _on_duty(session)
    holder = read_holder(settings.home)
    if holder is None:
        return "no"
    return f"nod {holder.command}, process {holder.pid} {holder.web_url or ''}".strip()


async def _on_duty(session: AsyncSession) -> str:
    """Of several processes the database knows one: the scheduler that works."""
    holder = await session.scalar(
        select(Lease.holder).where(Lease.name == SCHEDULER, Lease.expires_at > utc_now())
    )
    if holder is None:
        return "no scheduler; of other processes the database does not know"
    machine, pid, _ = holder.rsplit(":", 2)
    return f"a scheduler on {machine}, process {pid}; perhaps others"


async def _count(session: AsyncSession, column: object, *where: object) -> int:
    return await session.scalar(select(func.count(column)).where(*where)) or 0  # type: ignore[arg-type]


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel="Operate")(status)
