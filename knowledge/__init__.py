"""What the bot can look up: ingest, chunk, embed, index (Chroma + BM25), retrieve."""

from knowledge.errors import (
    EmbeddingAwayError,
    EmbeddingModelChangedError,
    IndexAwayError,
    KnowledgeError,
    NoSuchDocumentError,
    UnreadableDocumentError,
)
from knowledge.ingest import IngestProgress, IngestReport
from knowledge.knowledge import Knowledge, KnowledgeStatus
from knowledge.retrieved import ApprovedMatch, Retrieved

__all__ = [
    "ApprovedMatch",
    "EmbeddingAwayError",
    "EmbeddingModelChangedError",
    "IndexAwayError",
    "IngestProgress",
    "IngestReport",
    "Knowledge",
    "KnowledgeError",
    "KnowledgeStatus",
    "NoSuchDocumentError",
    "Retrieved",
    "UnreadableDocumentError",
]
