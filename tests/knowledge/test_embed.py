"""Embeddings are asked for once, in batches, with the prefixes that the model wants."""

from typing import Any

import httpx2
import numpy as np
import openai
import pytest

from knowledge import EmbeddingAwayError
from knowledge.embed import BATCH, Embedder, Side, prefixes_of
from tests.knowledge.conftest import MODEL
from tests.knowledge.embedding_endpoint import EmbeddingEndpoint


@pytest.mark.parametrize(
    ("model", "prefix"),
    [
        ("multilingual-e5-small", "passage: "),
        ("intfloat/e5-large-v2", "passage: "),
        ("intfloat/multilingual-e5-large-instruct", ""),
        ("text-embedding-3-small", ""),
        ("BAAI/bge-m3", ""),
    ],
)
def test_the_e5_family_has_prefixes(model: str, prefix: str) -> None:
    assert prefixes_of(model)[Side.passage] == prefix


async def test_many_texts_go_in_batches_and_come_back_in_order(
    endpoint: EmbeddingEndpoint,
) -> None:
    embedder = Embedder(endpoint.client, MODEL)
    texts = [(Side.query, f"question number {n}") for n in range(BATCH + 3)]
    vectors = await embedder.embed(texts, is_patient=False)
    assert vectors.shape == (BATCH + 3, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert vectors[-1] == pytest.approx(await embedder.embed_query(texts[-1][1]), abs=1e-5)
    assert endpoint.asked[0] == "query: question number 0"


async def test_a_query_is_embedded_once(endpoint: EmbeddingEndpoint) -> None:
    embedder = Embedder(endpoint.client, MODEL)
    for _ in range(3):
        await embedder.embed_query("How long?")
    assert endpoint.asked == ["query: How long?"]


async def test_after_a_failure_nobody_waits_for_the_endpoint_for_a_while(
    endpoint: EmbeddingEndpoint,
) -> None:
    embedder = Embedder(endpoint.client, MODEL)
    endpoint.is_down = True
    with pytest.raises(EmbeddingAwayError, match=MODEL):
        await embedder.embed_query("one")
    endpoint.is_down = False
    with pytest.raises(EmbeddingAwayError, match="a moment ago"):
        await embedder.embed_query("two")
    embedder._away_until = 0.0
    await embedder.embed_query("two")


@pytest.mark.parametrize("embeddings", [[[1.0, 2.0]], [[1.0], [1e39]], [[1.0], []]])
async def test_an_answer_that_makes_no_sense_is_refused(embeddings: list[list[float]]) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        rows: list[dict[str, Any]] = [
            {"object": "embedding", "index": n, "embedding": row}
            for n, row in enumerate(embeddings)
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        body = {"object": "list", "data": rows, "model": "m", "usage": usage}
        return httpx2.Response(200, json=body)

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    async with openai.AsyncOpenAI(
        base_url="http://odd/v1", api_key="x", http_client=http
    ) as client:
        with pytest.raises(EmbeddingAwayError):
            await Embedder(client, "m").embed(
                [(Side.query, "a"), (Side.query, "b")], is_patient=False
            )
