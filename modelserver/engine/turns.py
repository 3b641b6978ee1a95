"""Whose turn it is at one llama.cpp, which answers with one adapter at a time.

It goes on with the adapter that it finds first in its slots for as long as there is something to
do with it. Left alone, whoever asks for another one may wait for ever.
"""

import contextlib
import threading
from collections.abc import Hashable, Iterator


class Turns:
    """A turn is for all who wait for the same adapter; then come those who have waited longest.

    Newcomers join a turn only while nobody waits for another one. Called from threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._adapter: Hashable = None
        self._count = 0  # of those whose turn it is
        self._waiting: dict[Hashable, list[threading.Event]] = {}  # the longest wait first

    @contextlib.contextmanager
    def take(self, adapter: Hashable) -> Iterator[None]:
        """Waits for a turn with this adapter (None for the base alone), which the block ends."""
        self._enter(adapter)
        try:
            yield
        finally:
            self._leave()

    def _enter(self, adapter: Hashable) -> None:
        with self._lock:
            if not self._waiting and (self._count == 0 or adapter == self._adapter):
                self._adapter = adapter
                self._count += 1
                return
            called = threading.Event()
            self._waiting.setdefault(adapter, []).append(called)
        called.wait()

    def _leave(self) -> None:
        with self._lock:
            self._count -= 1
            if self._count == 0 and self._waiting:
                self._adapter = next(iter(self._waiting))
                called = self._waiting.pop(self._adapter)
                self._count = len(called)
                for one in called:
                    one.set()
