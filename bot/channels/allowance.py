"""An allowance: how often a key may do something, kept in this process's memory."""

import time
from collections import OrderedDict
from collections.abc import Callable

KEYS_KEPT = 10_000


class Allowance:
    """A bucket of `burst` tokens for each key, filled again at `per_s` tokens a second."""

    def __init__(
        self, *, burst: int, per_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst, self._per_s, self._clock = burst, per_s, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Take one token: 0 when there was one, else the seconds until there will be."""
        now = self._clock()
        left, seen_at = self._left.pop(key, (float(self._burst), now))
        left = min(self._burst, left + (now - seen_at) * self._per_s)
        self._forget_quiet()
        if left < 1:
            self._left[key] = (left, now)
            return (1 - left) / self._per_s
        self._left[key] = (left - 1, now)
        return 0.0

    def _forget_quiet(self) -> None:
        """Drop the keys that were quiet longest; most of their buckets are full anyway."""
        while len(self._left) >= KEYS_KEPT:
            self._left.popitem(last=False)
