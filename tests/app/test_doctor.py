"""`nod doctor` and `nod reindex`, on what really goes wrong: each finding says how to mend it."""

import asyncio
import shutil
import sqlite3
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from app.command_line import app
from app.doctor import Finding, State, endpoints, machine
from app.doctor.endpoints import check_telegram
from app.doctor.machine import check_disk, check_folder
from app.settings import Settings
from knowledge.dense import DenseIndex
from store import ChunkKind
from tests.bot.telegram_server import TOKEN, telegram_server

Nod = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    return tmp_path / "nod"


@pytest.fixture
def nod(home: Path, modelserver_url: str, monkeypatch: pytest.MonkeyPatch) -> Nod:
    """A command on a data folder, beside an endpoint that answers."""
    ours = {"HOME": home, "MODEL_BASE_URL": modelserver_url, "PORT": "0"}
    for key, value in ours.items():
        monkeypatch.setenv(f"NOD_{key}", str(value))

    def run(*arguments: str, **settings: str) -> Result:
        environment = {f"NOD_{key.upper()}": value for key, value in settings.items()}
        return CliRunner().invoke(app, arguments, env=environment)

    return run


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "delivery.md"
    path.write_text("# Delivery\n\nWe deliver a mattress within five days.\n")
    return path


def row(result: Result, what: str) -> str:
    """The line on one thing."""
    [line] = [line for line in result.output.splitlines() if line[6:].startswith(what)]
    return line


def test_all_is_well_before_the_first_start_and_after(nod: Nod, document: Path) -> None:
    for _ in range(2):
        result = nod("doctor")
        assert result.exit_code == 0, result.output
        assert "ill" not in [line[:3] for line in result.output.splitlines()]
        assert nod("ingest", str(document)).exit_code == 0
    assert "1 embeddings of multilingual-e5-small" in row(result, "Chroma")
    assert "mode auto, policy send" in row(result, "switches")


async def write_as_another_model(folder: Path) -> None:
    """A real index with a real embedding, as a Nod with another embedding model leaves it."""
    index = DenseIndex(model="an-older-model", folder=folder)
    await index.write(ChunkKind.passage, [1], np.ones((1, 8), dtype=np.float32))
    await index.close()


def test_a_chroma_folder_of_another_model_is_found_refused_and_mended_by_reindex(
    nod: Nod, home: Path, document: Path
) -> None:
    assert nod("ingest", str(document)).exit_code == 0
    shutil.rmtree(home / "chroma")
    asyncio.run(write_as_another_model(home / "chroma"))
    sick = nod("doctor")
    assert sick.exit_code == 1
    assert row(sick, "Chroma").startswith("ill")
    assert "holds embeddings of 'an-older-model'" in row(sick, "Chroma")
    assert "nod reindex, or set NOD_EMBEDDING_MODEL back" in row(sick, "Chroma")
    refused = nod("ingest", str(document))
    assert refused.exit_code == 1
    assert "nod reindex" in refused.output
    assert nod("reindex").output.strip().endswith("Done.")
    assert "1 embeddings of multilingual-e5-small" in row(nod("doctor"), "Chroma")


def test_a_reindex_without_its_model_says_what_still_waits(nod: Nod, document: Path) -> None:
    assert nod("ingest", str(document)).exit_code == 0
    lost = nod("reindex", embedding_model="a-model-that-nobody-has")
    assert lost.exit_code == 1
    assert "1 chunks still wait for an embedding." in lost.output
    assert nod("reindex").exit_code == 0


def test_a_lost_index_is_made_again_by_reindex(nod: Nod, home: Path, document: Path) -> None:
    assert nod("ingest", str(document)).exit_code == 0
    shutil.rmtree(home / "chroma")
    assert nod("reindex").output.strip().endswith("Done.")
    assert "1 embeddings" in row(nod("doctor"), "Chroma")


def test_a_database_of_a_newer_version_is_named(nod: Nod, home: Path) -> None:
    assert nod("mode").exit_code == 0
    with sqlite3.connect(home / "nod.db") as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    result = nod("doctor")
    assert result.exit_code == 1
    assert "revision '9999'" in row(result, "database")
    assert "start the newer version, or restore a backup" in row(result, "database")


def test_a_database_that_does_not_answer_is_named_without_its_password(nod: Nod) -> None:
    url = "postgresql+psycopg://nobody:hunter2@127.0.0.1:9/none"
    result = nod("doctor", database_url=url)
    assert result.exit_code == 1
    assert "correct NOD_DATABASE_URL" in row(result, "database")
    assert "mend the database first" in row(result, "switches")
    assert "hunter2" not in result.output


def test_a_lost_switch_is_told_and_is_no_illness(nod: Nod, home: Path) -> None:
    assert nod("mode", "base").exit_code == 0
    with sqlite3.connect(home / "nod.db") as connection:
        connection.execute("update setting set value = '\"psychic\"'")
    result = nod("doctor")
    assert result.exit_code == 0
    assert row(result, "switches").startswith("odd")
    assert "mode='psychic' is not one of" in row(result, "switches")
    assert "mode='psychic' is not one of" in nod("status").output
    assert nod("mode", "base").output == "mode: auto -> base\n"
    assert "psychic" not in nod("status").output


def test_a_model_endpoint_that_is_down_is_named(nod: Nod, monkeypatch: pytest.MonkeyPatch) -> None:
    result = nod("doctor", model_base_url="http://127.0.0.1:9/v1")
    assert result.exit_code == 1
    for what in ("model endpoint", "an answer", "embeddings"):
        assert row(result, what).startswith("ill")
    assert "correct NOD_MODEL_BASE_URL" in row(result, "model endpoint")


def test_a_base_model_that_the_endpoint_does_not_have_is_named(nod: Nod) -> None:
    result = nod("doctor", base_model="gpt-9")
    assert result.exit_code == 1
    assert "no 'gpt-9' there; it has" in row(result, "model endpoint")


def test_a_chroma_server_that_is_away_is_named(nod: Nod) -> None:
    result = nod("doctor", chroma_url="http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "correct NOD_CHROMA_URL" in row(result, "Chroma")


@pytest.mark.parametrize(
    ("free_gb", "state"), [(0.0, State.ill), (0.9, State.ill), (3, State.odd), (50, State.well)]
)
def test_a_full_disk_is_told_before_training_needs_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, free_gb: float, state: State
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage(1e12, 0, free_gb * 1e9))
    found = check_disk(Settings(home=home))
    assert (found.state, bool(found.mend)) == (state, state is not State.well)


def test_a_data_folder_that_others_read_is_told(home: Path) -> None:
    home.mkdir(mode=0o755)
    found = check_folder(Settings(home=home))
    assert (found.state, found.mend) == (State.odd, f"chmod 700 {home}")


async def telegram(home: Path, token: str | None, url: str) -> Finding:
    secret = SecretStr(token) if token else None
    return await check_telegram(Settings(home=home, telegram_token=secret, telegram_base_url=url))


async def test_a_telegram_token_is_tried(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "TELEGRAM_TIMEOUT_S", 60.0)
    async with telegram_server() as server:
        well = await telegram(home, TOKEN, server.url)
        assert (well.state, well.said) == (State.well, "@nod_test_bot")
        wrong = await telegram(home, "123:wrong", server.url)
        assert (wrong.state, wrong.said) == (State.ill, "the token is not valid")
        assert "@BotFather" in wrong.mend
        server.refuse("getMe", 502, "Bad Gateway")
        ill = await telegram(home, TOKEN, server.url)
        assert (ill.state, ill.said) == (State.ill, "Bad Gateway")
    away = await telegram(home, TOKEN, server.url)
    assert away.state is State.ill
    assert "NOD_TELEGRAM_BASE_URL" in away.mend
    assert TOKEN not in f"{away}"
    assert (await telegram(home, None, server.url)).said == "off"
