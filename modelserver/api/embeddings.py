"""/v1/embeddings"""

import asyncio
import base64
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter
from pydantic import Field

from modelserver.api.rooms import Here
from modelserver.api.strict import Body, StrictRoute, TokenNumbers
from modelserver.embedding import DIMENSIONS, Embedding, Vectors
from modelserver.errors import BadRequestError
from modelserver.openai_tokens import read_tokens

router = APIRouter(prefix="/v1/embeddings", tags=["embeddings"], route_class=StrictRoute)

_MAX_TEXTS = 2048  # OpenAI's limit


class CreateEmbedding(Body):
    model: str
    input: str | list[str] | TokenNumbers | list[TokenNumbers]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1, le=DIMENSIONS, strict=True)] = DIMENSIONS


@router.post("")
async def create(here: Here, body: CreateEmbedding) -> dict[str, Any]:
    model = here.catalog.find_embedding(body.model)
    return await asyncio.to_thread(_embed, here.embedding, model, body)


def _read_texts(given: str | Sequence[Any]) -> list[str]:
    """Numbers are OpenAI's: LangChain and others send them to whatever embeds."""
    is_one = isinstance(given, str) or (len(given) > 0 and isinstance(given[0], int))
    inputs = [given] if is_one else given
    if not 1 <= len(inputs) <= _MAX_TEXTS:
        raise BadRequestError(f"input: give 1 to {_MAX_TEXTS} texts", param="input")
    texts = [
        one if isinstance(one, str) else read_tokens(one, f"input[{index}]")
        for index, one in enumerate(inputs)
    ]
    if "" in texts:
        raise BadRequestError(
            f"input[{texts.index('')}]: an empty text has no embedding", param="input"
        )
    return texts


def _embed(embedding: Embedding, model: str, body: CreateEmbedding) -> dict[str, Any]:
    texts = _read_texts(body.input)
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
