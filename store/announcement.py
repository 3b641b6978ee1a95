"""Announcements to the shop's operators: a run has ended, a canary was decided, a model goes dark.

A row before it is a message, as a reply is: written in the transaction of what it tells, sent by
the scheduler, and marked.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from store.base import Base, utc_now


class Via(StrEnum):
    """The way to an operator."""

    telegram = "telegram"
    email = "email"
    webhook = "webhook"


class Announcement(Base):
    """One message to one recipient."""

    __tablename__ = "announcement"
    __table_args__ = (
        # What has happened once is told once.
        UniqueConstraint("key", "via", "recipient"),
        Index(
            "ix_announcement_unsent",
            "due_at",
            sqlite_where=text("is_open"),
            postgresql_where=text("is_open"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(128))
    """Names what happened: `run.12.promoted`, `model.dark.ft:x.2027-01-14`."""
    via: Mapped[Via]
    recipient: Mapped[str] = mapped_column(String(500))
    """A chat's id, an e-mail address, a URL."""
    subject: Mapped[str] = mapped_column(String(255))
    text: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """For programs: what a webhook is told beside the text."""
    run_id: Mapped[int | None]
    """Whose loss curve goes with it."""
    is_open: Mapped[bool] = mapped_column(default=True)
    """Still to be sent; ends with `sent_at`, or given up with `error`."""
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(default=utc_now)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    sent_at: Mapped[datetime | None]
