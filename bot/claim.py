"""Work is claimed by a conditional UPDATE with a lease, so that one process does it at a time."""

import os
import random
import socket
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, String, bindparam

from store import utc_now
from store.base import UtcDateTime

LEASE_S = 60.0
"""A claim that nobody renews for so long is anybody's."""


def make_owner() -> str:
    """A name for claims: the machine, the process, and something that no other process has."""
    return f"{socket.gethostname()[:32]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def lease_from(now: datetime) -> datetime:
    """When a claim made now runs out."""
    return now + timedelta(seconds=LEASE_S)


NOW: BindParameter[datetime] = bindparam("now", type_=UtcDateTime())
CLAIM_COLUMNS = {
    "claimed_by": bindparam("owner", type_=String()),
    "claimed_until": bindparam("until", type_=UtcDateTime()),
}
"""What a claim sets, in statements that are made once for all; see claim_values."""


def claim_values(owner: str) -> dict[str, Any]:
    """The parameters of such a statement."""
    now = utc_now()
    return {"now": now, "owner": owner, "until": lease_from(now)}


def back_off_s(attempts: int, *, first_s: float, most_s: float) -> float:
    """Seconds until the next try after so many: doubled each time, with half of it by chance.

    Without the chance, all that failed together would come back together.
    """
    delay_s = min(most_s, first_s * 2.0 ** min(attempts - 1, 30))
    return delay_s * random.uniform(0.5, 1.0)


def after(delay_s: float) -> datetime:
    """The time so many seconds from now."""
    return datetime.now(UTC) + timedelta(seconds=delay_s)
