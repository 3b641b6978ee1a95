"""Conversations, their turns, the replies to them and the reviews of those."""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from store.base import IDS_USED_ONCE, Base, utc_now


def conversation_id(channel: str, address: str) -> str:
    """The id of the conversation at an address: the same for ever, on every machine.

    The hold-out is split by this id, so it must survive a lost database or a second import.
    """
    return hashlib.sha256(f"{channel}\0{address}".encode()).hexdigest()[:32]


class Role(StrEnum):
    """Whose contribution a turn is."""

    customer = "customer"
    bot = "bot"
    person = "person"  # of the shop, writing from the console


class TurnState(StrEnum):
    """How far a customer's turn has come."""

    waiting = "waiting"  # for an answer
    answering = "answering"  # claimed by a worker
    answered = "answered"  # a reply is stored, or none is wanted
    failed = "failed"  # given up after bounded attempts; a person is asked


class ReplyStatus(StrEnum):
    """How far a reply has come on its way to the customer."""

    held = "held"  # waits for a person's verdict
    ready = "ready"  # may be delivered
    sending = "sending"  # claimed by the outbox
    sent = "sent"  # the channel took it
    failed = "failed"  # given up; `error` says why
    withdrawn = "withdrawn"  # rejected, or a person spoke first
    imported = "imported"  # came with a file: nobody waits for it


class Way(StrEnum):
    """Which way an answer went."""

    approved = "approved"  # an approved reply, word for word
    tuned = "tuned"  # the tuned model, with or without context
    retrieval = "retrieval"  # the base model with context
    base = "base"  # the base model alone
    unknown = "unknown"  # an honest "I don't know" and a hand-off
    notice = "notice"  # a fixed text: "I am slow today, the answer follows", "Hello!"
    person = "person"  # written by a person


class Verdict(StrEnum):
    """What a reviewer said of a reply."""

    approved = "approved"
    edited = "edited"
    rejected = "rejected"


class Conversation(Base):
    """All turns at one address of one channel."""

    __tablename__ = "conversation"
    __table_args__ = (UniqueConstraint("channel", "address"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    channel: Mapped[str] = mapped_column(String(32))
    address: Mapped[str] = mapped_column(String(255))
    customer_name: Mapped[str | None] = mapped_column(String(255))
    last_seq: Mapped[int] = mapped_column(default=0)
    """The `seq` of the newest turn; taking the next one locks the row."""
    context_from_seq: Mapped[int] = mapped_column(default=0)
    """Turns before this one are no history any more: the customer said /reset."""
    wants_person_at: Mapped[datetime | None]
    """The bot did not know: a person is asked to look."""
    taken_over_at: Mapped[datetime | None]
    """A person answers here; the bot keeps quiet until it is given back."""
    taken_over_by: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)

    turns: Mapped[list[Turn]] = relationship(
        back_populates="conversation", order_by="Turn.seq", cascade="all, delete-orphan"
    )


class Turn(Base):
    """One party's contribution to a conversation."""

    __tablename__ = "turn"
    __table_args__ = (
        UniqueConstraint("conversation_id", "seq"),
        # A repeated delivery stops here.
        UniqueConstraint("conversation_id", "delivery_id"),
        Index(
            "ix_turn_to_answer",
            "due_at",
            sqlite_where=text("state in ('waiting', 'answering')"),
            postgresql_where=text("state in ('waiting', 'answering')"),
        ),
        IDS_USED_ONCE,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversation.id", ondelete="CASCADE"))
    seq: Mapped[int]
    role: Mapped[Role]
    text: Mapped[str] = mapped_column(Text)
    delivery_id: Mapped[str | None] = mapped_column(String(128))
    """The channel's own id of the event, where it has one."""
    reply_id: Mapped[int | None]
    """For the bot's and a person's turns: the reply that was delivered. No foreign key, or the
    two tables would need each other to exist first."""
    state: Mapped[TurnState] = mapped_column(default=TurnState.answered)
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(default=utc_now)
    """Not to be answered before this time."""
    claimed_by: Mapped[str | None] = mapped_column(String(64))
    claimed_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)

    conversation: Mapped[Conversation] = relationship(back_populates="turns")


class Reply(Base):
    """What the customer gets, and the whole story of how it came about."""

    __tablename__ = "reply"
    __table_args__ = (
        # One answer and one notice a turn, also when two workers race for it.
        Index(
            "uq_reply_answer",
            "turn_id",
            unique=True,
            sqlite_where=text("way not in ('notice', 'person')"),
            postgresql_where=text("way not in ('notice', 'person')"),
        ),
        Index(
            "uq_reply_notice",
            "turn_id",
            unique=True,
            sqlite_where=text("way = 'notice'"),
            postgresql_where=text("way = 'notice'"),
        ),
        Index(
            "ix_reply_outbox",
            "due_at",
            sqlite_where=text("status in ('ready', 'sending')"),
            postgresql_where=text("status in ('ready', 'sending')"),
        ),
        Index(
            "ix_reply_queue",
            "created_at",
            sqlite_where=text("needs_review"),
            postgresql_where=text("needs_review"),
        ),
        IDS_USED_ONCE,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(
        ForeignKey("conversation.id", ondelete="CASCADE"), index=True
    )
    turn_id: Mapped[int | None] = mapped_column(ForeignKey("turn.id", ondelete="CASCADE"))
    """The customer's turn that it answers."""
    draft: Mapped[str] = mapped_column(Text, default="")
    """The model's own text, kept when a person edits the reply."""
    text: Mapped[str] = mapped_column(Text)
    status: Mapped[ReplyStatus]
    needs_review: Mapped[bool] = mapped_column(default=False)

    # How it came about.
    way: Mapped[Way]
    reason: Mapped[str] = mapped_column(String(500), default="")
    mode: Mapped[str] = mapped_column(String(16), default="")
    model: Mapped[str | None] = mapped_column(String(255))
    model_version_id: Mapped[int | None] = mapped_column(
        ForeignKey("model_version.id", ondelete="SET NULL")
    )
    offered_version_id: Mapped[int | None]
    """The tuned model that could have answered here: the live one, or a canary. Whichever way the
    answer went, it counts for this one."""
    mask_id: Mapped[int | None] = mapped_column(ForeignKey("mask.id", ondelete="SET NULL"))
    prompt: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    """The chat messages that the model was given."""
    sources: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    """The chunks of the context: chunk_id, document_id, title, source, score."""
    mean_logprob: Mapped[float | None]
    agreement: Mapped[float | None]
    """Share of the answer found in what was retrieved, 0 to 1."""
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    first_token_ms: Mapped[float | None]
    total_ms: Mapped[float | None]
    phrasings: Mapped[list[str]] = mapped_column(default=list)
    """Other ways to ask the same that came with an imported pair, for the reviewer to approve."""
    announced_at: Mapped[datetime | None]
    """When reviewers were told that it waits for them, where it was held."""

    # Its delivery.
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(default=utc_now)
    claimed_by: Mapped[str | None] = mapped_column(String(64))
    claimed_until: Mapped[datetime | None]
    sent_parts: Mapped[list[str]] = mapped_column(default=list)
    """The channel's ids of the parts that it took: a long reply goes on after a crash."""
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    sent_at: Mapped[datetime | None]

    review: Mapped[Review | None] = relationship(back_populates="reply")


class Review(Base):
    """A person's verdict on a reply."""

    __tablename__ = "review"
    __table_args__ = IDS_USED_ONCE

    id: Mapped[int] = mapped_column(primary_key=True)
    reply_id: Mapped[int] = mapped_column(ForeignKey("reply.id", ondelete="CASCADE"), unique=True)
    verdict: Mapped[Verdict]
    text: Mapped[str | None] = mapped_column(Text)
    """The approved text; none when rejected."""
    phrasings: Mapped[list[str]] = mapped_column(default=list)
    """Other ways to ask the same: each is retrievable and an example of its own."""
    tags: Mapped[list[str]] = mapped_column(default=list)
    """What it is about, in the shop's own words: `refund`, `vip`. The gate protects each."""
    reason: Mapped[str] = mapped_column(String(500), default="")
    reviewer: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)

    reply: Mapped[Reply] = relationship(back_populates="review")
