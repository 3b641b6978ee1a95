"""The clients of OpenAI's API: one each to answer, to train, to embed and to judge.

They differ by base URL and key alone; by default all speak to one endpoint.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from pydantic import SecretStr

from app.model_http import ModelHttp
from app.model_server import ModelServer
from app.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Clients:
    """To be closed by `open_clients`."""

    models: AsyncOpenAI
    trainer: AsyncOpenAI
    embeddings: AsyncOpenAI
    judge: AsyncOpenAI


@asynccontextmanager
async def open_clients(
    settings: Settings, server: ModelServer | None = None
) -> AsyncIterator[Clients]:
    """Connected to the endpoints that the settings name, or to our own model server."""
    base_url = settings.model_base_url or (server.base_url if server else None)
    key = settings.model_api_key.get_secret_value()
    models = AsyncOpenAI(
        base_url=base_url,
        api_key=key,
        timeout=settings.model_timeout_s,
        http_client=ModelHttp(),
    )

    def other(url: str | None, secret: str | None) -> AsyncOpenAI:
        if url is None and secret is None:
            return models
        # A key for one endpoint is not shown to another.
        return models.with_options(base_url=url or base_url, api_key=secret or "none")

    trainer = other(settings.trainer_base_url, _reveal(settings.trainer_api_key)).with_options(
        # aiohttp would wait for ever for an endpoint that stops reading an upload.
        http_client=DefaultAsyncHttpxClient()
    )
    embeddings = other(settings.embedding_base_url, _reveal(settings.embedding_api_key))
    judge = other(settings.judge_base_url, _reveal(settings.judge_api_key))
    try:
        yield Clients(models=models, trainer=trainer, embeddings=embeddings, judge=judge)
    finally:
        await trainer.close()
        await models.close()


def _reveal(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
