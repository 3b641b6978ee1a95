"""What can go wrong in this room.

KnowledgeError
├── EmbeddingAwayError           no embeddings for now: the caller goes on without them
├── IndexAwayError               Chroma does not answer for now: likewise
├── EmbeddingModelChangedError   Chroma holds the embeddings of another model
├── UnreadableDocumentError      a file cannot become chunks; the message is for its owner
└── NoSuchDocumentError          nothing has this id
"""


class KnowledgeError(Exception):
    """Something in the knowledge store went wrong."""


class EmbeddingAwayError(KnowledgeError):
    """The embedding endpoint gave no embeddings."""


class IndexAwayError(KnowledgeError):
    """Chroma cannot be reached, or another process holds its folder."""


class EmbeddingModelChangedError(KnowledgeError):
    """The embeddings in Chroma were written by another model and cannot be compared."""

    def __init__(self, place: str, *, written_by: str, wanted: str) -> None:
        super().__init__(
            f"the index in {place} was written by the embedding model {written_by}, but the "
            f"settings name {wanted}; their embeddings cannot be compared. Run `nod reindex` to "
            f"embed every chunk again, or set NOD_EMBEDDING_MODEL back."
        )
        self.written_by = written_by
        self.wanted = wanted


class UnreadableDocumentError(KnowledgeError):
    """A file cannot become chunks; the message says why, and the way out."""


class NoSuchDocumentError(KnowledgeError):
    """There is no document of this id."""
