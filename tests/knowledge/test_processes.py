"""Several processes share one store, and one that is killed leaves nothing half done."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from knowledge import Knowledge
from store import Chunk, Database
from tests.knowledge.conftest import Approve, OpenKnowledge
from tests.knowledge.embedding_endpoint import EmbeddingEndpoint

ROOT = Path(__file__).resolve().parents[2]

LEARN_AND_BE_KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
import openai
from knowledge import Knowledge
from knowledge.{module} import {cls}
from store import Database

async def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    {cls}.{method} = die
    database = Database(sys.argv[1])
    client = openai.AsyncOpenAI(base_url=sys.argv[2], api_key="none")
    knowledge = await Knowledge.open(
        database, client, embedding_model="multilingual-e5-small", folder=Path(sys.argv[3])
    )
    await knowledge.learn(int(sys.argv[4]))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def chroma_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Chroma server, a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    chroma, folder = Path(sys.executable).with_name("chroma"), tmp_path_factory.mktemp("chroma")
    command = [str(chroma), "run", "--path", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://127.0.0.1:{port}/api/v2/heartbeat")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(url: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(url, timeout=1)
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"nothing answers at {url}")


async def test_two_processes_on_a_chroma_server_find_what_the_other_learned(
    open_knowledge: OpenKnowledge, approve: Approve, chroma_url: str, database: Database
) -> None:
    shop = f"shop-{uuid.uuid4().hex[:8]}"
    one = await open_knowledge(folder=None, chroma_url=chroma_url, collection=shop)
    two = await open_knowledge(folder=None, chroma_url=chroma_url, collection=shop)
    reply_id = await approve("How long is delivery?", "Three days.")
    await one.learn(reply_id)
    two._index._looked_at = 0.0  # a second has passed
    [found] = await two.retrieve("delivery, how long")
    assert found.similarity is not None
    assert found.coverage > 0
    await two.forget(reply_id)
    one._index._looked_at = 0.0
    assert await one.retrieve("delivery, how long") == []
    assert len(one._index.lexical) == 0


async def test_a_chroma_server_that_comes_later_is_used_then(
    open_knowledge: OpenKnowledge, approve: Approve, chroma_url: str
) -> None:
    knowledge = await open_knowledge(folder=None, chroma_url="http://127.0.0.1:9")
    await knowledge.learn(await approve("How long is delivery?", "Three days."))
    assert (await knowledge.status()).chroma_error is not None
    [found] = await knowledge.retrieve("delivery")
    assert found.similarity is None
    knowledge._index.dense._url = chroma_url  # as when a server starts at the address
    assert await knowledge.sync() == 0
    status = await knowledge.status()
    assert (status.chroma_error, status.embedding_error, status.waiting) == (None, None, 0)
    [found] = await knowledge.retrieve("delivery")
    assert found.similarity is not None


@pytest.mark.parametrize(
    ("module", "cls", "method"),
    [
        ("index", "Index", "embed"),  # between the row and its embedding
        ("dense", "DenseIndex", "write"),  # between the embedding and Chroma
    ],
)
async def test_a_process_killed_while_it_learns_is_healed_by_sync(
    database: Database,
    endpoint: EmbeddingEndpoint,
    open_knowledge: OpenKnowledge,
    approve: Approve,
    modelserver_url: str,
    tmp_path: Path,
    module: str,
    cls: str,
    method: str,
) -> None:
    reply_id = await approve(
        "How long is delivery?", "Three days.", phrasings=("When is it here?",)
    )
    script = LEARN_AND_BE_KILLED.format(module=module, cls=cls, method=method)
    arguments = [str(database.url), modelserver_url, str(tmp_path / "chroma"), str(reply_id)]
    killed = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, *arguments),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert await asyncio.wait_for(killed.wait(), 240) == -signal.SIGKILL

    knowledge: Knowledge = await open_knowledge()
    assert await knowledge.sync() == 0
    match = await knowledge.nearest_approved("How long does the delivery take?")
    assert match is not None
    assert match.reply_id == reply_id
    async with database.read() as session:
        assert await session.scalar(select(func.count(Chunk.id))) == 2
        assert await session.scalar(select(func.count(Chunk.indexed_at))) == 2
    assert await knowledge._index.dense.ids() == knowledge._index.lexical.ids
