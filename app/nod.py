"""Nod, assembled: every room opened on one set of settings.

    async with open_nod(settings) as nod:
        await nod.inbox.receive(message)

Opening is quick and needs no model: what talks to one waits until it is first asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.settings import Settings
from store import Database

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from bot.answer import Answerer
    from bot.channel import Channel
    from bot.inbox import Inbox
    from bot.outbox import Outbox
    from bot.worker import AnswerWorker
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
    channels: dict[str, Channel] = field(default_factory=dict)
    """By name; the outbox delivers through these, and no others, in this process."""


@asynccontextmanager
async def open_nod(settings: Settings) -> AsyncIterator[Nod]:
    """Open every room, and close them in the opposite order."""
    raise NotImplementedError("the rooms are being built")
    yield
