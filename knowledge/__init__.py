"""What the bot can look up: ingest, chunk, embed, index (Chroma + BM25), retrieve."""

from knowledge.errors import (
    EmbeddingAwayError,
    EmbeddingModelChangedError,
    IndexAwayError,
    KnowledgeError,
    NoSuchDocumentError,
    UnreadableDocumentError,
)
from knowledge.knowledge import Knowledge
from knowledge.retrieved import ApprovedMatch, Retrieved

__all__ = [
    "ApprovedMatch",
    "EmbeddingAwayError",
    "EmbeddingModelChangedError",
    "IndexAwayError",
    "Knowledge",
    "KnowledgeError",
    "NoSuchDocumentError",
    "Retrieved",
    "UnreadableDocumentError",
]
