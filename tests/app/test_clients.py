"""The clients of the endpoints, as the settings name them."""

import asyncio
import io
from pathlib import Path

import pytest
from openai import APITimeoutError

from app.clients import open_clients
from app.settings import Settings

MORE_THAN_IS_BUFFERED = 64_000_000


async def test_an_upload_that_the_trainer_stops_reading_is_given_up(tmp_path: Path) -> None:
    is_over = asyncio.Event()

    async def stop_reading(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await is_over.wait()
        writer.close()

    server = await asyncio.start_server(stop_reading, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    settings = Settings(home=tmp_path, model_base_url=url, model_timeout_s=0.5)
    async with server, open_clients(settings) as clients, asyncio.timeout(30):
        with pytest.raises(APITimeoutError):
            await clients.trainer.with_options(max_retries=0).files.create(
                file=("train.jsonl", io.BytesIO(bytes(MORE_THAN_IS_BUFFERED))), purpose="fine-tune"
            )
        is_over.set()
