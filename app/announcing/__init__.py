"""Announcing: rows for the operators are sent by Telegram, e-mail and webhook, and marked.

The scheduler on duty sends, so two processes do not send one row at a time. A process that is
killed between a message and its mark sends it again, under the same id: a webhook's receiver and
most mail programs know it then; in Telegram it stands twice.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

import structlog
from sqlalchemy import select, update

from app.announcing.picture import draw_losses
from bot.claim import after, back_off_s
from store import Announcement, Database, RunEvent, Via, utc_now

log = structlog.get_logger(__name__)

CLAIM_S = 120.0
FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 3600.0
MOST_ATTEMPTS = 40
"""A bit more than a day."""


class NotSentError(Exception):
    """It did not go out. `is_permanent`: it never will; else not before `retry_after_s`."""

    def __init__(
        self, why: str, *, is_permanent: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(why)
        self.is_permanent = is_permanent
        self.retry_after_s = retry_after_s


class Sender(Protocol):
    """One way to the operators."""

    async def send(self, announcement: Announcement, picture: bytes | None) -> None:
        """Send it; `picture` is a PNG of the loss, where there is one.

        Raises:
            NotSentError: and why.
        """


class Announcer:
    """Sends what is due, by the ways that are set up; the rest waits for its way."""

    def __init__(self, database: Database, senders: Mapping[Via, Sender]) -> None:
        self._database = database
        self._senders = senders

    async def step(self) -> bool:
        """Send one announcement; False when none is due."""
        announcement = await self._claim()
        if announcement is None:
            return False
        try:
            picture = await self._draw(announcement)
            await self._senders[announcement.via].send(announcement, picture)
        except Exception as error:
            await self._put_off(announcement, error)
        else:
            await self._mark(announcement, is_open=False, sent_at=utc_now(), error=None)
            log.info("announced", announcement=announcement.id, via=announcement.via)
        return True

    async def _claim(self) -> Announcement | None:
        now = utc_now()
        due = (
            select(Announcement.id)
            .where(
                Announcement.is_open,
                Announcement.due_at <= now,
                Announcement.via.in_(list(self._senders)),
            )
            .order_by(Announcement.id)
            .limit(1)
        )
        async with self._database.write() as session:
            claimed = await session.scalars(
                update(Announcement)
                .where(Announcement.id == due.scalar_subquery(), Announcement.due_at <= now)
                .values(due_at=now + timedelta(seconds=CLAIM_S), attempts=Announcement.attempts + 1)
                .returning(Announcement)
            )
            return claimed.one_or_none()

    async def _draw(self, announcement: Announcement) -> bytes | None:
        if announcement.run_id is None:
            return None
        async with self._database.read() as session:
            events = await session.scalars(
                select(RunEvent).where(RunEvent.run_id == announcement.run_id).order_by(RunEvent.id)
            )
            return await draw_losses([event.data for event in events])

    async def _put_off(self, announcement: Announcement, error: Exception) -> None:
        """Again later, with growing waits; or never, where that is of no use."""
        told = error if isinstance(error, NotSentError) else NotSentError(repr(error))
        log.warning(
            "announcement_not_sent",
            announcement=announcement.id,
            via=announcement.via,
            attempts=announcement.attempts,
            why=str(told),
        )
        if told.is_permanent or announcement.attempts >= MOST_ATTEMPTS:
            return await self._mark(announcement, is_open=False, error=str(told))
        delay_s = back_off_s(announcement.attempts, first_s=FIRST_WAIT_S, most_s=LONGEST_WAIT_S)
        due_at = after(delay_s if told.retry_after_s is None else told.retry_after_s)
        return await self._mark(announcement, due_at=due_at, error=str(told))

    async def _mark(self, announcement: Announcement, **values: object) -> None:
        async with self._database.write() as session:
            await session.execute(
                update(Announcement).where(Announcement.id == announcement.id).values(**values)
            )
