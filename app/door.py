"""The door: checks names and passwords, and tires of guesses without tiring of the owner.

Wrong passwords are counted by name and address together, so that nobody can keep another waiting
by guessing at that name from elsewhere. Who guesses from many addresses, or at many names, meets
two wider bounds: one for each address, and one for all strangers together. Neither concerns a
user at an address from which this very user has entered before.
"""

import asyncio
import ipaddress
import time
from collections import OrderedDict, deque
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.users import find_user, renew_hash, verify
from store import AuditEntry, Database, User, utc_now

FREE_FAILURES = 5
"""So many wrong passwords for a name at an address cost nothing; each further doubles the wait."""
FREE_ADDRESS_FAILURES = 20
"""The same for an address, whatever the names: an office may share one."""
MAX_WAIT_S = 900.0
FORGET_AFTER_S = 3600.0
MAX_STRANGER_FAILURES = 100
STRANGER_WINDOW_S = 900.0
"""Strangers together may fail so often in so long: 400 guesses an hour, from however many
machines, find no password of 8 characters."""
KNOWN_FOR = timedelta(days=90)
MAX_COUNTED = 10_000
"""What is counted at a time: the oldest is forgotten first."""
CHECKS_AT_ONCE = 4
"""A check takes 64 MiB and 50 ms of a core."""

ENTERED = "log_in"
"""The audit entry of each stay: says who, and from which address."""


class LoginError(Exception):
    """The door stays shut.

    `retry_after_s` says how long, when there were too many failures; none when it was a wrong
    name or password (it is not said which).
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Door:
    """Failures are counted in this process, and forgotten with it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._failures = _Failures()
        self._strangers: deque[float] = deque(maxlen=MAX_STRANGER_FAILURES)
        self._checks = asyncio.Semaphore(CHECKS_AT_ONCE)

    async def enter(self, name: str, password: str, address: str) -> User:
        """The user whose name and password these are; `address` is where the request came from.

        Raises:
            LoginError: wrong, disabled, or too many failures.
        """
        place = network_of(address)
        pair = f"{name.strip().casefold()} at {place}"
        async with self._database.read() as session:
            user = await find_user(session, name)
            is_known = user is not None and await _has_entered(session, user, place)
        # Nothing is awaited in between, or many guesses at once would all be the first.
        _refuse_for(self._wait_s(pair, place, is_known))
        self._count(pair, place, is_known)
        async with self._checks:
            known_hash = user.password_hash if user is not None else None
            is_right = await asyncio.to_thread(verify, known_hash, password)
        if user is None or not is_right or user.disabled_at is not None:
            raise LoginError("Wrong name or password.")
        self._uncount(pair, place, is_known)
        await renew_hash(self._database, user, password)
        return user

    def _count(self, pair: str, place: str, is_known: bool) -> None:
        self._failures.add(pair, FREE_FAILURES)
        if not is_known:
            self._failures.add(place, FREE_ADDRESS_FAILURES)
            self._strangers.append(time.monotonic())

    def _uncount(self, pair: str, place: str, is_known: bool) -> None:
        self._failures.forget(pair)
        if not is_known:
            self._failures.forget(place)
            self._strangers.pop()

    def _wait_s(self, pair: str, place: str, is_known: bool) -> float:
        wait_s = self._failures.wait_s(pair)
        if is_known:
            return wait_s
        return max(wait_s, self._failures.wait_s(place), self._strangers_wait_s())

    def _strangers_wait_s(self) -> float:
        if len(self._strangers) < MAX_STRANGER_FAILURES:
            return 0.0
        return self._strangers[0] + STRANGER_WINDOW_S - time.monotonic()


def entered_from(user: User, address: str) -> AuditEntry:
    """What is logged of a stay that begins: by it the door knows the address again."""
    return AuditEntry(who=user.name, action=ENTERED, detail={"address": network_of(address)})


def network_of(address: str) -> str:
    """The address; of IPv6 the first 64 bits, for who has one of these has them all."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


class _Failures:
    """How often something failed, and how long it has to wait for that."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """Count and time of the last one, by time.monotonic; the newest stands last."""
        self._waits: dict[str, float] = {}

    def add(self, key: str, free: int) -> None:
        count, last = self._counts.pop(key, (0, 0.0))
        now = time.monotonic()
        count = count + 1 if now - last < FORGET_AFTER_S else 1
        self._counts[key] = count, now
        if count > free:
            self._waits[key] = now + min(MAX_WAIT_S, 2.0 ** min(count - free, 20))
        while len(self._counts) > MAX_COUNTED:
            self.forget(next(iter(self._counts)))

    def wait_s(self, key: str) -> float:
        """Seconds that are left; 0 or less for none."""
        return self._waits.get(key, 0.0) - time.monotonic()

    def forget(self, key: str) -> None:
        self._counts.pop(key, None)
        self._waits.pop(key, None)


def _refuse_for(wait_s: float) -> None:
    if wait_s > 0:
        raise LoginError(f"Too many failures: try again in {wait_s:.0f} s.", retry_after_s=wait_s)


async def _has_entered(session: AsyncSession, user: User, place: str) -> bool:
    entered = select(AuditEntry.id).where(
        AuditEntry.at > utc_now() - KNOWN_FOR,
        AuditEntry.who == user.name,
        AuditEntry.action == ENTERED,
        AuditEntry.detail["address"].as_string() == place,
    )
    return await session.scalar(entered.limit(1)) is not None
