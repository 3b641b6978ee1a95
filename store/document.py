"""Documents and the chunks that the bot can look up."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from store.base import IDS_USED_ONCE, Base, utc_now


class DocumentKind(StrEnum):
    """Where a document comes from."""

    file = "file"  # ingested from disk
    approved = "approved"  # the approved replies, as one document


class ChunkKind(StrEnum):
    """What a chunk holds."""

    passage = "passage"  # a piece of a document
    pair = "pair"  # a question and its answer


class Document(Base):
    """A source of knowledge, as it was when it was last read."""

    __tablename__ = "document"
    __table_args__ = IDS_USED_ONCE

    id: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(String(1024), unique=True)
    """The absolute path, or a name such as `approved replies`."""
    root: Mapped[str | None] = mapped_column(String(1024))
    """The path that `nod ingest` was given: what has gone from below it is removed."""
    kind: Mapped[DocumentKind]
    title: Mapped[str] = mapped_column(String(500))
    sha256: Mapped[str] = mapped_column(String(64), default="")
    size_bytes: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)
    """Why it could not be read, in words for the person who ingested it."""
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)

    chunks: Mapped[list[Chunk]] = relationship(
        back_populates="document", order_by="Chunk.seq", cascade="all, delete-orphan"
    )


class Chunk(Base):
    """A piece of a document. Chroma holds its embedding under the same id."""

    __tablename__ = "chunk"
    # So that an index which is behind cannot name another chunk.
    __table_args__ = (
        UniqueConstraint("document_id", "seq"),
        Index(
            "ix_chunk_to_embed",
            "id",
            sqlite_where=text("indexed_at is null"),
            postgresql_where=text("indexed_at is null"),
        ),
        IDS_USED_ONCE,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    document_id: Mapped[int] = mapped_column(ForeignKey("document.id", ondelete="CASCADE"))
    seq: Mapped[int]
    kind: Mapped[ChunkKind]
    heading: Mapped[str] = mapped_column(String(500), default="")
    question: Mapped[str | None] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    """The passage, or the answer of a pair."""
    reply_id: Mapped[int | None] = mapped_column(
        ForeignKey("reply.id", ondelete="CASCADE"), index=True
    )
    """For an approved pair: the reply that it was."""
    conversation_id: Mapped[str | None] = mapped_column(String(32), index=True)
    """For an approved pair: where it was said. Evaluation leaves this conversation out."""
    indexed_at: Mapped[datetime | None]
    """When its embedding was written to Chroma; none while that is still to do."""

    document: Mapped[Document] = relationship(back_populates="chunks")
