"""What the retriever returns."""

from dataclasses import asdict, dataclass
from typing import Any

from store import ChunkKind


@dataclass(frozen=True, kw_only=True)
class Retrieved:
    """A chunk that was found for a query, best first in its list."""

    chunk_id: int
    document_id: int
    kind: ChunkKind
    title: str
    """The document's title, with the heading where there is one."""
    source: str
    text: str
    """The passage, or the answer of a pair."""
    question: str | None = None
    reply_id: int | None = None
    score: float
    """Fused rank score; higher is better, comparable within one query only."""
    similarity: float | None = None
    """Cosine of query and chunk, -1 to 1; none when the embedding model is away."""
    coverage: float = 0.0
    """Share of the query's words, each weighed by its rarity, that the chunk has: 0 to 1."""

    def as_source(self) -> dict[str, Any]:
        """What a reply records of it."""
        kept = (
            "chunk_id", "document_id", "kind", "title", "source", "score", "similarity", "reply_id",
        )  # fmt: skip
        return {key: value for key, value in asdict(self).items() if key in kept}


@dataclass(frozen=True, kw_only=True)
class ApprovedMatch:
    """The approved question nearest to what was asked, with its reply."""

    chunk_id: int
    reply_id: int | None
    question: str
    answer: str
    similarity: float
    """Cosine of the two questions, -1 to 1, or 1.0 when they are the same words."""

    def as_source(self) -> dict[str, Any]:
        """What a reply records of it."""
        kept = {"chunk_id": self.chunk_id, "title": self.question, "source": "approved replies"}
        return {**kept, "reply_id": self.reply_id, "score": 1.0, "similarity": self.similarity}


def title_of(document: str, heading: str) -> str:
    """What a chunk is called, to customers and to models: `Delivery > Parcels`.

    A document's first heading is often its title over again, and is named once.
    """
    parts = [part for part in (document, *heading.split(" > ")) if part]
    is_echo = len(parts) > 1 and parts[0].casefold() == parts[1].casefold()
    return " > ".join(parts[1:] if is_echo else parts)
