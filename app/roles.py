"""The roles of a running Nod: each is a command of its own, and `nod up` is all of them.

A role is a context: inside, its task runs; leaving it stops the task and waits for it. So the last
one entered stops first: no more messages come in, the answers under way end, the replies go out.
"""

import asyncio
import gc
import inspect
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import structlog

from app.model_server import ModelServerError
from app.nod import Nod
from app.sample_shop import load_sample_shop
from app.terminal import describe

if TYPE_CHECKING:  # imported only where there is a token: it takes its time
    from bot.channels.telegram import Telegram

SYNC_EVERY_S = 60.0
"""What another process approved or ingested is found here after so long at most."""

log = structlog.get_logger(__name__)

Running = AbstractAsyncContextManager[asyncio.Task[None]]


class Role(StrEnum):
    """In the order of their start."""

    worker = "worker"  # answers
    scheduler = "scheduler"  # retrains
    telegram = "telegram"  # polls Telegram, delivers to it
    web = "web"  # chat, console; delivers to browsers


async def run_roles(
    nod: Nod,
    roles: Collection[Role],
    *,
    listener: socket.socket | None = None,
) -> None:
    """Run until SIGINT or SIGTERM; a second one ends at once.

    Raises:
        Exception: whatever ended a role before it was told to.
    """
    stop = _stop_on_signals()
    async with AsyncExitStack() as stack:
        telegram = _open_telegram(nod) if Role.telegram in roles else None
        if telegram is not None:
            stack.push_async_callback(telegram.close)  # last: replies go out until the outbox ends
        tasks = [await stack.enter_async_context(_outbox(nod))]
        if Role.worker in roles:
            tasks += [await stack.enter_async_context(_knowledge(nod))]
            tasks += [await stack.enter_async_context(_worker(nod))]
        if Role.scheduler in roles:
            tasks += [await stack.enter_async_context(_scheduler(nod))]
        if telegram is not None:
            is_alone = len(roles) == 1
            talking = await stack.enter_async_context(_telegram(telegram, is_alone=is_alone))
            if is_alone:  # else a wrong token costs Telegram alone
                tasks.append(talking)
        if Role.web in roles:
            assert listener is not None
            tasks += [await stack.enter_async_context(_web(nod, listener))]
        _keep_for_good()
        stopped = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
        stopped.cancel()
        for task in done - {stopped}:
            task.result()


def _keep_for_good() -> None:
    """What the start has made stays to the end: looking through it for garbage takes 0.2 s."""
    gc.collect()
    gc.freeze()


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)  # the next one has its usual, sudden effect

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask, number)
    return stop


@asynccontextmanager
async def run_in_background(
    run: Coroutine[Any, Any, None], stop: Callable[[], Awaitable[None] | None] | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """A task that `stop` brings to its end; without one it is cancelled."""
    task = asyncio.create_task(run)
    try:
        yield task
    finally:
        if stop is None:
            task.cancel()
        elif inspect.isawaitable(stopping := stop()):
            await stopping
        await asyncio.wait([task])


def _outbox(nod: Nod) -> Running:
    return run_in_background(nod.outbox.run(), nod.outbox.stop)


def _worker(nod: Nod) -> Running:
    return run_in_background(nod.worker.run(), nod.worker.stop)


def _knowledge(nod: Nod) -> Running:
    return run_in_background(_keep_in_sync(nod))


def _scheduler(nod: Nod) -> Running:
    from app.scheduler import Scheduler

    return run_in_background(Scheduler(nod).run())


def _open_telegram(nod: Nod) -> "Telegram | None":
    """The channel, if there is a token for it."""
    from bot.channels.telegram import Telegram

    settings = nod.settings
    if settings.telegram_token is None:
        return None
    telegram = Telegram(
        nod.database,
        nod.knowledge,
        nod.inbox,
        token=settings.telegram_token.get_secret_value(),
        base_url=settings.telegram_base_url,
        on_reply=nod.outbox.wake,
    )
    nod.channels[telegram.channel.name] = telegram.channel
    return telegram


def _telegram(telegram: "Telegram", *, is_alone: bool) -> Running:
    from bot.channels.telegram import TelegramTokenError

    async def talk() -> None:
        try:
            await telegram.run()
        except TelegramTokenError as error:
            if is_alone:
                raise
            log.error("telegram_is_off", why=str(error))

    return run_in_background(talk())


def _web(nod: Nod, listener: socket.socket) -> Running:
    from app.web import WebServer

    server = WebServer(nod, listener)
    return run_in_background(server.run(), server.stop)


async def _keep_in_sync(nod: Nod) -> None:
    """Embed what waits for it: once the model server answers, and from time to time."""
    while True:
        try:
            await load_sample_shop(nod)
            with suppress(ModelServerError):
                await nod.wait_for_models()
            await nod.knowledge.sync()
        except Exception as error:  # the next round may do better, and customers are answered
            log.warning("knowledge_not_in_sync", error=describe(error))
        await asyncio.sleep(SYNC_EVERY_S)
