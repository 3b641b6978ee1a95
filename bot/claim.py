"""Work is claimed by a conditional UPDATE with a lease, so that one process does it at a time."""

import os
import random
import socket
import uuid
from datetime import UTC, datetime, timedelta

LEASE_S = 60.0
"""A claim that nobody renews for so long is anybody's."""


def make_owner() -> str:
    """A name for claims: the machine, the process, and something that no other process has."""
    return f"{socket.gethostname()[:32]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def lease_from(now: datetime) -> datetime:
    """When a claim made now runs out."""
    return now + timedelta(seconds=LEASE_S)


def back_off_s(attempts: int, *, first_s: float, most_s: float) -> float:
    """Seconds until the next try after so many: doubled each time, with half of it by chance.

    Without the chance, all that failed together would come back together.
    """
    delay_s = min(most_s, first_s * 2.0 ** min(attempts - 1, 30))
    return delay_s * random.uniform(0.5, 1.0)


def after(delay_s: float) -> datetime:
    """The time so many seconds from now."""
    return datetime.now(UTC) + timedelta(seconds=delay_s)
