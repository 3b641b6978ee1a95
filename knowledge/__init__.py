"""What the bot can look up: ingest, chunk, embed, index (Chroma + BM25), retrieve.

Its names are found when they are first asked for, so that a command which only reads a file does
not wait for Chroma.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

_MODULES = ("errors", "retrieved", "ingest", "knowledge")


def __getattr__(name: str) -> object:
    if name in __all__:
        for module in _MODULES:
            if hasattr(found := import_module(f"knowledge.{module}"), name):
                return getattr(found, name)
    raise AttributeError(f"module knowledge has no attribute {name}")
