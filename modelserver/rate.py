"""How many requests a caller may send: a bucket that fills evenly and holds a minute's worth."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """`wait_s` is 0 when the request may come in, else how long until one may."""

    limit: int
    remaining: int
    wait_s: float
    reset_s: float  # until the bucket is full again


class RateLimit:
    """For the event loop alone. A restart fills every bucket."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = per_minute
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # caller -> (requests left, at)

    def take(self, caller: str) -> Allowance:
        """Counts one request of this caller, unless it comes too soon."""
        now = self._clock()
        left, at = self._buckets.get(caller, (float(self._limit), now))
        left = min(self._limit, left + (now - at) * self._limit / 60)
        is_in = left >= 1
        left -= is_in
        self._buckets[caller] = (left, now)
        return Allowance(
            limit=self._limit,
            remaining=math.floor(left),
            wait_s=0 if is_in else (1 - left) * 60 / self._limit,
            reset_s=(self._limit - left) * 60 / self._limit,
        )
