"""Whether the model server answers, asked at most every few seconds for all open pages."""

import asyncio
import time

import openai

FRESH_S = 10.0
TIMEOUT_S = 3.0


class Health:
    """The last answer, and when it was had."""

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._client = client
        self._is_well: bool | None = None
        self._until = 0.0
        self._asking = asyncio.Lock()

    async def read(self) -> bool | None:
        """Whether it answered; none before it was ever asked. Never waits for the answer itself."""
        if time.monotonic() >= self._until and not self._asking.locked():
            self._task = asyncio.create_task(self._ask())
        return self._is_well

    async def _ask(self) -> None:
        async with self._asking:
            try:
                await self._client.with_options(max_retries=0, timeout=TIMEOUT_S).models.list()
                self._is_well = True
            except openai.OpenAIError:
                self._is_well = False
            self._until = time.monotonic() + FRESH_S
