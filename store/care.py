"""What must not be learnt: replies set aside for a second look, and what is to be forgotten."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from store.base import Base, utc_now


class SecondLookState(StrEnum):
    """What became of an approved reply that looked suspicious."""

    aside = "aside"  # waits for a person; in no dataset meanwhile
    released = "released"  # a person found it right: it is learnt like any other
    struck = "struck"  # a person rejected it after all, or took the approval back


class SecondLook(Base):
    """An approved reply that is set aside, with the reasons."""

    __tablename__ = "second_look"

    id: Mapped[int] = mapped_column(primary_key=True)
    reply_id: Mapped[int] = mapped_column(ForeignKey("reply.id", ondelete="CASCADE"), unique=True)
    state: Mapped[SecondLookState] = mapped_column(default=SecondLookState.aside, index=True)
    reasons: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    """{"kind": "burst", "why": "..."} each, in words for the person who looks."""
    decided_by: Mapped[str | None] = mapped_column(String(64))
    decided_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class ForgettingState(StrEnum):
    """How far a conversation is forgotten; each step can be repeated."""

    asked = "asked"  # nothing is deleted yet
    erased = "erased"  # the rows are gone; files and indexes may still hold something
    told = "told"  # everything is gone but the customer's last word and our answer to it
    done = "done"  # nothing is left, nor the conversation's id in this row


class Forgetting(Base):
    """One conversation, or the beginning of one, that is to be forgotten."""

    __tablename__ = "forgetting"
    __table_args__ = (
        Index(
            "ix_forgetting_due",
            "due_at",
            sqlite_where=text("state <> 'done'"),
            postgresql_where=text("state <> 'done'"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[str | None] = mapped_column(String(32), index=True)
    """None once it is done: who asked to be forgotten is forgotten too."""
    before_seq: Mapped[int | None]
    """Turns before this one go; none: all, and the conversation with them."""
    asked_by: Mapped[str] = mapped_column(String(64))
    """customer, retention, or who of the shop."""
    state: Mapped[ForgettingState] = mapped_column(default=ForgettingState.asked)
    due_at: Mapped[datetime] = mapped_column(default=utc_now)
    to_remove: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What is still to be removed outside the database: chunk_ids, versions, file_ids."""
    report: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Counts: turns, replies, chunks, examples, datasets, model_versions, files."""
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    done_at: Mapped[datetime | None]
