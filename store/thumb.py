"""A customer's thumb, up or down, on a reply."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from store.base import Base, utc_now


class Thumb(Base):
    """One a reply; a second one takes its place."""

    __tablename__ = "thumb"

    reply_id: Mapped[int] = mapped_column(
        ForeignKey("reply.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    is_up: Mapped[bool]
    at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)
