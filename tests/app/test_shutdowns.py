"""Operators hear in time that a model goes dark, and hear it once."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import AsyncOpenAI
from sqlalchemy import select

from app.settings import load_settings
from app.shutdowns import warn_of_shutdowns
from store import Announcement, Database, ModelVersion, Stage
from tests.loopback import Answering, serving

MODELS = [
    {"id": "gpt-old", "shutdown_date": "2027-01-14"},
    {"id": "ft:live", "shutdown_date": 1799884800},
    {"id": "ft:never-used", "shutdown_date": "2027-01-14"},
    {"id": "ft:fine", "shutdown_date": None},
    {"id": "embedder"},
]


@pytest.fixture
def provider_url() -> Iterator[str]:
    """A list of models as OpenAI gives it."""

    class Handler(Answering):
        def do_GET(self) -> None:
            models = [{"object": "model", "created": 0, "owned_by": "o"} | m for m in MODELS]
            self.answer(200, json.dumps({"object": "list", "data": models}).encode())

    with serving(Handler) as url:
        yield f"{url}/v1"


async def test_operators_hear_once_of_each_model_in_use_that_goes_dark(
    database: Database, provider_url: str, tmp_path: Path
) -> None:
    async with database.write() as session:
        session.add(ModelVersion(model="ft:live", base_model="gpt-old", stage=Stage.live))
        session.add(ModelVersion(model="ft:fine", base_model="gpt-old", stage=Stage.canary))
        session.add(ModelVersion(model="ft:never-used", base_model="gpt-old"))
    settings = load_settings(
        home=tmp_path,
        base_model="gpt-old",
        embedding_model="embedder",
        model_base_url=provider_url,
        announce_webhook_url="http://hook",
    )
    async with AsyncOpenAI(base_url=provider_url, api_key="none") as client:
        for _ in range(2):
            dates = await warn_of_shutdowns(database, settings, (client, client))
    assert dates == {"gpt-old": "2027-01-14", "ft:live": "2027-01-14"}
    async with database.read() as session:
        told = (await session.scalars(select(Announcement).order_by(Announcement.id))).all()
    assert [each.data["model"] for each in told] == ["ft:live", "gpt-old"]
    assert "NOD_BASE_MODEL" in told[1].text
    assert "model version 1 (live)" in told[0].text


async def test_a_provider_that_does_not_answer_warns_of_nothing(
    database: Database, tmp_path: Path
) -> None:
    settings = load_settings(home=tmp_path, announce_webhook_url="http://hook")
    async with AsyncOpenAI(base_url="http://127.0.0.1:9/v1", api_key="none", max_retries=0) as away:
        assert await warn_of_shutdowns(database, settings, (away,)) == {}
