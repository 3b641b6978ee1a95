"""A bell that wakes a loop at once, with a look round now and then in case nobody rang."""

import asyncio

LOOK_ROUND_S = 1.0
"""Another process, or a person in the console, may have made work without ringing."""


class Bell:
    """Rung from the same event loop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()

    async def wait(self, at_most_s: float = LOOK_ROUND_S) -> None:
        """Until it is rung, or so long; a ring before the wait counts."""
        try:
            async with asyncio.timeout(at_most_s):
                await self._event.wait()
        except TimeoutError:
            return
        finally:
            self._event.clear()
