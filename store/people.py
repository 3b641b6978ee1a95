"""The people of the shop, the masks they wrote, the switches they set and what they did."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from store.base import Base, utc_now


class UserRole(StrEnum):
    """What a user may do; each may also do what stands above it."""

    reviewer = "reviewer"  # approve, edit, reject, take a conversation over
    operator = "operator"  # switch modes, ingest, retrain, promote, roll back
    owner = "owner"  # users and everything else

    def may_act_as(self, needed: UserRole) -> bool:
        order = list(UserRole)
        return order.index(self) >= order.index(needed)


class User(Base):
    """A person who may enter the console."""

    __tablename__ = "user_account"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    """argon2id, with its parameters."""
    role: Mapped[UserRole]
    telegram_id: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    disabled_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Mask(Base):
    """A named preset: system prompt, few-shot turns, model parameters."""

    __tablename__ = "mask"
    __table_args__ = (
        Index(
            "uq_mask_default",
            "is_default",
            unique=True,
            sqlite_where=text("is_default"),
            postgresql_where=text("is_default"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    system_prompt: Mapped[str] = mapped_column(Text)
    few_shot: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    """Turns shown to the model before the conversation: {"role", "content"}."""
    temperature: Mapped[float] = mapped_column(default=0.0)
    max_tokens: Mapped[int] = mapped_column(default=256)
    is_default: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Setting(Base):
    """A switch that is set while the program runs; see store.switches."""

    __tablename__ = "setting"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)
    updated_by: Mapped[str] = mapped_column(String(64))


class AuditEntry(Base):
    """Who did what, and when."""

    __tablename__ = "audit_entry"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
    who: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Lease(Base):
    """One holder at a time of a duty, such as the scheduler's, among many processes."""

    __tablename__ = "lease"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[datetime]


class Login(Base):
    """A user's stay in the console, on one browser, until it ends or is ended."""

    __tablename__ = "login"

    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Of the cookie's secret, which is stored nowhere."""
    user_id: Mapped[int] = mapped_column(
        ForeignKey("user_account.id", ondelete="CASCADE"), index=True
    )
    expires_at: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
