"""What a preparation asks of the database: how fast training was, and nothing that it waits for."""

import asyncio
from datetime import date
from pathlib import Path

import pytest

from app.preparation import speed
from app.preparation.speed import measured
from app.settings import Settings
from finetune.prepare.prices import ModelPrice

PRICE = ModelPrice(
    name="small",
    provider="here",
    price=0.0,
    tokens=2048,
    tokenizer="cl100k_base",
    as_of=date(2026, 11, 20),
    tokens_per_second=100.0,
)


async def test_a_database_that_never_answers_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "MOST_S", 0.2)
    is_over = asyncio.Event()

    async def keep_silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await is_over.wait()
        writer.close()

    server = await asyncio.start_server(keep_silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = f"postgresql+psycopg://nod@127.0.0.1:{port}/nod"
    async with server:
        assert await measured(Settings(home=tmp_path, database_url=url), [PRICE]) == [PRICE]
        is_over.set()
