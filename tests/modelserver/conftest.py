"""A client of the shared stub server, and helpers that many tests here use."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from openai import AsyncOpenAI

from tests.modelserver.training_jobs import Connect


@pytest.fixture
async def client(modelserver_url: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=modelserver_url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """`connect(url)` gives a client of one's own server; all are closed at the end."""
    async with AsyncExitStack() as clients:

        def open_client(url: str, api_key: str = "none") -> AsyncOpenAI:
            client = AsyncOpenAI(base_url=url, api_key=api_key, max_retries=0)
            clients.push_async_callback(client.close)
            return client

        yield open_client
