"""A lease: one holder of a duty at a time among many processes."""

from datetime import timedelta

from sqlalchemy import delete, or_, update
from sqlalchemy.exc import IntegrityError

from store import Database, Lease, utc_now
from store.base import CLOCKS_APART

SCHEDULER = "scheduler"
"""The duty of the scheduler that works."""


class Duty:
    """A duty by name, for one holder. Renew it well before `lease_s` is over."""

    def __init__(self, database: Database, name: str, holder: str, *, lease_s: float) -> None:
        self._database = database
        self._name = name
        self._holder = holder
        self._lease = timedelta(seconds=lease_s)

    async def take(self) -> bool:
        """Take or renew it; False while somebody else holds it."""
        if await self._renew():
            return True
        try:
            async with self._database.write() as session:
                expires_at = utc_now() + self._lease
                session.add(Lease(name=self._name, holder=self._holder, expires_at=expires_at))
        except IntegrityError:  # it exists, and is another's
            return False
        return True

    async def give_back(self) -> None:
        """Let another take it at once."""
        async with self._database.write() as session:
            await session.execute(
                delete(Lease).where(Lease.name == self._name, Lease.holder == self._holder)
            )

    async def _renew(self) -> bool:
        now = utc_now()
        async with self._database.write() as session:
            renewed = await session.scalar(
                update(Lease)
                .where(
                    Lease.name == self._name,
                    or_(
                        Lease.holder == self._holder,
                        Lease.expires_at <= now,
                        Lease.expires_at > now + self._lease + CLOCKS_APART,
                    ),
                )
                .values(holder=self._holder, expires_at=now + self._lease)
                .returning(Lease.name)
            )
        return renewed is not None
