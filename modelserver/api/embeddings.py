"""/v1/embeddings"""

import asyncio
import base64
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter
from pydantic import Field

from modelserver.api.rooms import Here
from modelserver.api.strict import Body, StrictRoute
from modelserver.embedding import DIMENSIONS, Embedding, Vectors
from modelserver.errors import BadRequestError

router = APIRouter(prefix="/v1/embeddings", tags=["embeddings"], route_class=StrictRoute)

_MAX_TEXTS = 2048  # OpenAI's limit

Numbers = Annotated[list[int], Field(min_length=1)]


class CreateEmbedding(Body):
    model: str
    input: str | list[str] | Numbers | list[Numbers]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1, le=DIMENSIONS, strict=True)] = DIMENSIONS


@router.post("")
async def create(here: Here, body: CreateEmbedding) -> dict[str, Any]:
    model = here.catalog.find_embedding(body.model)
    texts = _read_texts(body.input)
    return await asyncio.to_thread(_embed, here.embedding, model, texts, body)


def _read_texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not texts or len(texts) > _MAX_TEXTS:
        raise BadRequestError(f"input: give 1 to {_MAX_TEXTS} texts", param="input")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise BadRequestError(
                "input: token numbers of another tokenizer mean nothing here; send texts "
                "(LangChain: check_embedding_ctx_length=False)",
                param="input",
            )
        if not text:
            raise BadRequestError(f"input[{index}]: an empty text has no embedding", param="input")
    return list(texts)


def _embed(
    embedding: Embedding, model: str, texts: Sequence[str], body: CreateEmbedding
) -> dict[str, Any]:
    vectors = _shorten(embedding.embed(texts), body.dimensions)
    tokens = sum(map(embedding.count_tokens, texts))
    show = _show_base64 if body.encoding_format == "base64" else _show_floats
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": show(vector)}
            for index, vector in enumerate(vectors)
        ],
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _shorten(vectors: Vectors, dimensions: int) -> Vectors:
    """The first dimensions, brought back to length 1, as OpenAI does it."""
    if dimensions == DIMENSIONS:
        return vectors
    short = vectors[:, :dimensions]
    lengths = np.maximum(np.linalg.norm(short, axis=1, keepdims=True), 1e-12)
    scaled: Vectors = (short / lengths).astype(np.float32)
    return scaled


def _show_floats(vector: Vectors) -> list[float]:
    shown: list[float] = vector.tolist()
    return shown


def _show_base64(vector: Vectors) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
