"""`nod chat`: a conversation in the terminal, kept from one time to the next."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live
from rich.text import Text
from sqlalchemy import exists, select

from app.home import read_holder
from app.settings import Settings
from app.terminal import run, screen, whoami
from bot.channels.terminal import TerminalChannel
from bot.message import Message
from store import Database, Reply, ReplyStatus, Turn, TurnState

if TYPE_CHECKING:
    from bot.inbox import Inbox

LOOK_EVERY_S = 0.3


def chat(
    why: Annotated[
        bool, typer.Option("--why", help="Tell which way each answer went, and its sources.")
    ] = False,
    new: Annotated[bool, typer.Option("--new", help="Start afresh, as /reset does.")] = False,
) -> None:
    """Talk to the bot in this terminal; the conversation goes on where it was last time.

    Questions may also come from a pipe, a line each. An empty line, Ctrl+D or Ctrl+C ends it.

    Examples:

      nod chat

      echo "Do you deliver on Sundays?" | nod chat --why
    """
    run(lambda settings: _chat(settings, why, new), log_level="error")


class _Talk:
    """What is on the screen, and whether an answer is still to come."""

    def __init__(self, database: Database, why: bool) -> None:
        self._database = database
        self._why = why
        self._live: Live | None = None
        self._arrived: asyncio.Queue[int] = asyncio.Queue()

    def channel(self) -> TerminalChannel:
        return TerminalChannel(
            on_text=self._show, on_reply=lambda out: self._arrived.put_nowait(out.reply_id)
        )

    def _show(self, text: str) -> None:
        if self._live is not None:
            self._live.update(Text(text))

    async def ask(self, inbox: "Inbox", text: str) -> None:
        """Say it, and print what comes back."""
        turn = await inbox.receive(Message(channel="terminal", address=whoami(), text=text))
        assert turn is not None  # without a delivery id nothing is a repetition
        with Live(Text("..."), console=screen, transient=True) as self._live:
            while await self._is_under_way(turn.id):
                await self.print_arrived(LOOK_EVERY_S)
            await self.print_arrived()
        if await self._has_reply(turn.id, ReplyStatus.held):
            screen.print("[dim]Held until a person approves it; it will appear here.[/]")

    async def print_arrived(self, wait_s: float = 0.01) -> None:
        """What has come since the last time."""
        with suppress(TimeoutError):
            while True:
                await self._print(await asyncio.wait_for(self._arrived.get(), wait_s))

    async def _is_under_way(self, turn_id: int) -> bool:
        async with self._database.read() as session:
            turn = await session.get_one(Turn, turn_id)
        if turn.state in (TurnState.waiting, TurnState.answering):
            return True
        return await self._has_reply(turn_id, ReplyStatus.ready, ReplyStatus.sending)

    async def _has_reply(self, turn_id: int, *statuses: ReplyStatus) -> bool:
        query = exists().where(Reply.turn_id == turn_id, Reply.status.in_(statuses))
        async with self._database.read() as session:
            return bool(await session.scalar(select(query)))

    async def _print(self, reply_id: int) -> None:
        async with self._database.read() as session:
            reply = await session.get_one(Reply, reply_id)
        screen.print(Text(reply.text, style="bold" if screen.is_terminal else ""))
        if self._why:
            screen.print(Text(_explain(reply), style="dim"))


def _explain(reply: Reply) -> str:
    parts = [reply.reason]
    if reply.total_ms is not None:
        parts.append(f"{reply.total_ms / 1000:.1f} s")
    if reply.completion_tokens is not None:
        read = "?" if reply.prompt_tokens is None else reply.prompt_tokens
        parts.append(f"{read} + {reply.completion_tokens} tokens")
    titles = dict.fromkeys(str(source.get("title")) for source in reply.sources)
    return "  [" + "; ".join([*parts, *titles]) + "]"


async def _chat(settings: Settings, why: bool, new: bool) -> None:
    lines = _Lines()
    async with _rooms(settings, why) as (talk, inbox):
        if new:
            await talk.ask(inbox, "/reset")
        await talk.print_arrived()
        while line := await lines.next():
            await talk.ask(inbox, line)


@asynccontextmanager
async def _rooms(settings: Settings, why: bool) -> "AsyncIterator[tuple[_Talk, Inbox]]":
    """The bot in this process; beside a running Nod only the channel, and it answers."""
    from app.nod import open_nod, open_store
    from app.roles import run_in_background
    from bot.inbox import Inbox
    from bot.outbox import Outbox

    holder = read_holder(settings.home)
    if holder is not None and holder.command in ("up", "worker"):
        async with open_store(settings) as database:
            talk = _Talk(database, why)
            outbox = Outbox(database, {"terminal": talk.channel()})
            async with run_in_background(outbox.run(), outbox.stop):
                yield talk, Inbox(database, outbox=outbox)
        return
    async with open_nod(settings, "chat") as nod:
        talk = _Talk(nod.database, why)
        nod.channels["terminal"] = talk.channel()
        with screen.status("Waiting for the model server..."):
            await nod.wait_for_models()
        async with (
            run_in_background(nod.outbox.run(), nod.outbox.stop),
            run_in_background(nod.worker.run(), nod.worker.stop),
            run_in_background(nod.forgetter.run()),
        ):
            yield talk, nod.inbox


class _Lines:
    """What is typed, or comes from a pipe; read by a thread that nobody has to wait for."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        self._wanted = threading.Semaphore(0)
        threading.Thread(target=self._read, daemon=True).start()

    async def next(self) -> str:
        """The next line that says something; empty at the end."""
        self._wanted.release()
        return await self._lines.get()

    def _read(self) -> None:
        while self._wanted.acquire():
            line = self._ask()
            with suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(self._lines.put_nowait, line)

    def _ask(self) -> str:
        if not sys.stdin.isatty():
            return next((line.strip() for line in sys.stdin if line.strip()), "")
        with suppress(EOFError):
            return input("> ").strip()
        return ""


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel="Run")(chat)
