"""A shop with forty approved replies beside a model server that learns by heart."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from store import Database
from tests.finetune.shop import Shop, approve_many, open_shop
from tests.modelserver_process import modelserver_url, running_modelserver

__all__ = ["modelserver_url"]


@pytest.fixture
async def shop(database: Database, tmp_path: Path, modelserver_url: str) -> AsyncIterator[Shop]:
    await approve_many(database)
    async with open_shop(database, tmp_path, modelserver_url) as shop:
        await shop.knowledge.sync()
        yield shop


@pytest.fixture
def slow_modelserver_url(tmp_path: Path) -> Iterator[str]:
    """A server whose jobs take their time."""
    with running_modelserver(tmp_path / "slow", "--stub-delay-s", "2") as server:
        yield server.url
