"""The stub model server over HTTP, with a line to it that can be cut and listened to."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import openai


class EmbeddingEndpoint:
    """`client` speaks to a real server; `asked` is what it embedded."""

    def __init__(self, url: str) -> None:
        self.is_down = False
        self.asked: list[str] = []
        http = openai.DefaultAsyncHttpxClient(event_hooks={"request": [self._overhear]})
        self.client = openai.AsyncOpenAI(base_url=url, api_key="none", http_client=http)

    async def _overhear(self, request: httpx2.Request) -> None:
        if self.is_down:
            raise httpx2.ConnectError("the line is cut", request=request)
        self.asked.extend(json.loads(request.content)["input"])


@asynccontextmanager
async def line_to(url: str) -> AsyncIterator[EmbeddingEndpoint]:
    endpoint = EmbeddingEndpoint(url)
    yield endpoint
    await endpoint.client.close()
