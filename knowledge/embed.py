"""Embeddings, through the `openai` client: in batches, with timeouts, retries and prefixes."""

import base64
import time
from collections import OrderedDict
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import openai
from numpy.typing import NDArray

from knowledge.errors import EmbeddingAwayError
from store.text import clean_text

Vectors = NDArray[np.float32]
"""One embedding of length 1 a row: (texts, dimensions)."""

BATCH = 32
"""Texts in one request: a second or two on one core, so that a progress bar moves."""
MAX_CHARACTERS = 2000
"""Of a text only this much is embedded: small models read 512 tokens and drop the rest."""
QUERY_TIMEOUT_S = 5.0  # a customer waits
CHUNK_TIMEOUT_S = 120.0
CHUNK_RETRIES = 3  # the client waits between them with jitter, and honours Retry-After
AWAY_S = 5.0
"""After a failed query nobody waits for the endpoint again for so long."""
REMEMBERED_QUERIES = 64


class Side(StrEnum):
    """What a text is to the embedding model."""

    query = "query"  # a question, asked or stored: questions are compared like with like
    passage = "passage"


def prefixes_of(model: str) -> dict[Side, str]:
    """What a model wants before a text.

    The E5 family was trained with `query: ` and `passage: ` (https://arxiv.org/abs/2212.03533, and
    the model cards of multilingual-e5); its instruct variants were not.
    """
    name = model.lower().rsplit("/", 1)[-1]
    if "e5-" in name and "instruct" not in name:
        return {Side.query: "query: ", Side.passage: "passage: "}
    return {Side.query: "", Side.passage: ""}


class Embedder:
    """Turns texts into vectors of length 1."""

    def __init__(self, client: openai.AsyncOpenAI, model: str) -> None:
        self.model = model
        self._prefixes = prefixes_of(model)
        self._patient = client.with_options(timeout=CHUNK_TIMEOUT_S, max_retries=CHUNK_RETRIES)
        self._prompt = client.with_options(timeout=QUERY_TIMEOUT_S, max_retries=0)
        self._remembered: OrderedDict[str, Vectors] = OrderedDict()
        self._away_until = 0.0

    async def embed_query(self, text: str) -> Vectors:
        """The embedding of what was asked, of shape (dimensions,).

        The last few are remembered: one answer asks for the same one more than once.

        Raises:
            EmbeddingAwayError: at once, when it has just failed.
        """
        if text in self._remembered:
            self._remembered.move_to_end(text)
            return self._remembered[text]
        if time.monotonic() < self._away_until:
            raise EmbeddingAwayError("the embedding endpoint did not answer a moment ago")
        try:
            vectors = await self._embed(self._prompt, [self._prefixed(Side.query, text)])
        except EmbeddingAwayError:
            self._away_until = time.monotonic() + AWAY_S
            raise
        vector: Vectors = vectors[0]
        self._remembered[text] = vector
        if len(self._remembered) > REMEMBERED_QUERIES:
            self._remembered.popitem(last=False)
        return vector

    def forget_queries(self) -> None:
        """Remember none of what was asked."""
        self._remembered.clear()

    async def check(self) -> None:
        """See that the endpoint answers.

        Raises:
            EmbeddingAwayError: it does not.
        """
        await self._embed(self._prompt, ["hello"])

    async def embed(self, texts: Sequence[tuple[Side, str]], *, is_patient: bool) -> Vectors:
        """The embeddings of at least one text, in order.

        Args:
            is_patient: nobody waits for them, so that it may take long and be tried again.

        Raises:
            EmbeddingAwayError: after every retry.
        """
        client = self._patient if is_patient else self._prompt
        prefixed = [self._prefixed(side, text) for side, text in texts]
        batches = [prefixed[start : start + BATCH] for start in range(0, len(prefixed), BATCH)]
        return np.concatenate([await self._embed(client, batch) for batch in batches])

    def _prefixed(self, side: Side, text: str) -> str:
        return self._prefixes[side] + clean_text(text[:MAX_CHARACTERS])

    async def _embed(self, client: openai.AsyncOpenAI, texts: list[str]) -> Vectors:
        try:
            rows = sorted(await self._ask(client, texts), key=lambda item: item["index"])
            vectors = np.array([_floats(item["embedding"]) for item in rows], dtype=np.float32)
        except (openai.OpenAIError, ValueError, TypeError, LookupError) as error:
            raise EmbeddingAwayError(
                f"no embeddings from {self.model!r} at {client.base_url}: {_describe(error)}"
            ) from error
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise EmbeddingAwayError(
                f"{self.model!r} at {client.base_url} gave {len(rows)} embeddings for {len(texts)} "
                f"texts, or some that are no finite numbers"
            )
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Vectors = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
        return unit

    async def _ask(self, client: openai.AsyncOpenAI, texts: list[str]) -> list[Any]:
        """By the client's own way round its types, which cost more than the rest of a request."""
        response: Any = await client.post(
            "/embeddings",
            cast_to=object,
            body={"model": self.model, "input": texts, "encoding_format": "base64"},
            options={"security": {"bearer_auth": True}},
        )
        data: list[Any] = response["data"]
        return data


def _floats(embedding: str | list[float]) -> NDArray[np.float32]:
    """From base64 of little-endian floats, or from numbers where the endpoint knows no base64."""
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding), dtype="<f4")
    return np.array(embedding, dtype=np.float32)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error) or 'no details'}"[:300]
