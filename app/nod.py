"""Nod, assembled: every room opened on one set of settings.

    async with open_nod(settings, "chat") as nod:
        await nod.inbox.receive(message)

Opening needs no model that answers: our own model server starts beside it, and what talks to a
model waits until it is first asked. Rooms are imported when they are opened, so that a command
which needs none of them is quick.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.home import hold_home, prepare_home, refuse_stranger
from app.model_server import ModelServer
from app.settings import Settings
from store import Database
from store.migrate import migrate

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from bot.answer import Answerer
    from bot.channel import Channel
    from bot.inbox import Inbox
    from bot.outbox import Outbox
    from bot.worker import AnswerWorker
    from finetune.canary import Canary
    from finetune.forget import Forgetter
    from finetune.retrain import Retrainer
    from knowledge import Knowledge


@dataclass(frozen=True, kw_only=True)
class Nod:
    """All that the commands, the web server and the console work with."""

    settings: Settings
    database: Database
    models: AsyncOpenAI
    """Answers: chat completions and the list of models."""
    trainer: AsyncOpenAI
    """Trains: files and fine-tuning jobs."""
    knowledge: Knowledge
    answerer: Answerer
    inbox: Inbox
    worker: AnswerWorker
    outbox: Outbox
    retrainer: Retrainer
    forgetter: Forgetter
    canary: Canary
    model_server: ModelServer | None
    """Our own, when it is a child of this process."""
    channels: dict[str, Channel] = field(default_factory=dict)
    """By name; the outbox delivers through these, and no others, in this process."""

    async def wait_for_models(self) -> None:
        """For commands that are of no use without a model.

        Raises:
            ModelServerError: our own model server did not start.
        """
        if self.model_server is not None:
            await self.model_server.wait_until_ready()


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Database]:
    """The database alone, migrated: for commands that may run beside a running Nod.

    Raises:
        HomeError: the data folder cannot be used.
        DatabaseError: a newer version has written the database, or it is none.
    """
    prepare_home(settings.home)
    if settings.database_url is None:
        refuse_stranger(settings.home)
    await migrate(settings.store_url)
    database = Database(settings.store_url)
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def open_nod(
    settings: Settings, command: str, *, may_rebuild_index: bool = False
) -> AsyncIterator[Nod]:
    """Open every room, and close them in the opposite order.

    Args:
        command: what opens it, for those who find the data folder in use.
        may_rebuild_index: empty an index that another embedding model wrote.

    Raises:
        HomeError: the data folder cannot be used, or another process works on it.
        DatabaseTooNewError: a newer version of Nod has written the database.
        EmbeddingModelChangedError: the index was written by another embedding model.
    """
    prepare_home(settings.home)
    async with AsyncExitStack() as stack:
        server = ModelServer(settings) if settings.runs_model_server else None
        base_url = server.base_url if server else settings.model_base_url
        stack.enter_context(hold_home(settings, command, model_base_url=base_url))
        if server is not None:
            await stack.enter_async_context(_running(server))
        database = await stack.enter_async_context(open_store(settings))
        yield await _assemble(stack, settings, database, server, may_rebuild_index)


@asynccontextmanager
async def _running(server: ModelServer) -> AsyncIterator[None]:
    task = asyncio.create_task(server.run(), name="model server")
    await asyncio.sleep(0)  # it starts while we import
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _assemble(
    stack: AsyncExitStack,
    settings: Settings,
    database: Database,
    server: ModelServer | None,
    may_rebuild_index: bool,
) -> Nod:
    await asyncio.to_thread(_import_rooms)
    from app.clients import open_clients
    from app.options import make_options
    from bot.answer import Answerer
    from bot.inbox import Inbox
    from bot.masks import ensure_default
    from bot.outbox import Outbox
    from bot.worker import AnswerWorker
    from finetune.canary import Canary
    from finetune.forget import Forgetter
    from finetune.judge import Judge
    from finetune.retrain import Retrainer
    from knowledge import Knowledge

    clients = await stack.enter_async_context(open_clients(settings, server))
    knowledge = await Knowledge.open(
        database,
        clients.embeddings,
        embedding_model=settings.embedding_model,
        folder=None if settings.chroma_url else settings.home / "chroma",
        chroma_url=settings.chroma_url,
        may_rebuild=may_rebuild_index,
    )
    stack.push_async_callback(knowledge.close)
    await ensure_default(database)
    options = make_options(settings)
    # One process keeps its name from start to start, and so takes up at once what it left.
    owner = "nod" if settings.is_for_one_process else None
    channels: dict[str, Channel] = {}
    answerer = Answerer(
        knowledge, clients.models, base_model=settings.base_model, options=options.answer
    )
    outbox = Outbox(database, channels, owner=owner)
    worker = AnswerWorker(
        database,
        answerer,
        channels,
        owner=owner,
        # Our own model server answers four at a time; who waits there waits against a timeout.
        concurrency=8 if server else 32,
        outbox=outbox,
    )
    return Nod(
        settings=settings,
        database=database,
        models=clients.models,
        trainer=clients.trainer,
        knowledge=knowledge,
        answerer=answerer,
        inbox=Inbox(database, worker=worker, outbox=outbox),
        worker=worker,
        outbox=outbox,
        retrainer=Retrainer(
            database,
            knowledge,
            answerer,
            clients.trainer,
            settings.home,
            options.retrain,
            judge=Judge(clients.judge, settings.judge_model) if settings.judge_model else None,
            owner=owner,
        ),
        forgetter=Forgetter(database, knowledge, settings.home),
        canary=Canary(database, options.canary, options.recipients),
        model_server=server,
        channels=channels,
    )


def _import_rooms() -> None:
    """The heavy ones, off the event loop: this takes seconds on a busy machine."""
    for room in ("knowledge", "bot.worker", "bot.outbox", "finetune.retrain"):
        importlib.import_module(room)
