"""The model server as a child: it answers, comes back, and never outlives its owner."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from app.model_server import ModelServer, ModelServerError
from app.settings import Settings


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ModelServer]:
    server = ModelServer(Settings(home=tmp_path, model_engine="stub"))
    task = asyncio.create_task(server.run())
    yield server
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _list_models(server: ModelServer) -> list[str]:
    async with httpx2.AsyncClient() as client:
        response = await client.get(f"{server.base_url}/models")
        return [model["id"] for model in response.raise_for_status().json()["data"]]


async def test_it_answers_where_it_said_before_it_started(server: ModelServer) -> None:
    await server.wait_until_ready()
    assert "smollm2-135m-instruct" in await _list_models(server)


async def test_the_stubs_vectors_do_not_pass_for_the_real_models(
    server: ModelServer, tmp_path: Path
) -> None:
    real, stub = (Settings(home=tmp_path, model_engine=name) for name in ("llama", "stub"))
    assert stub.embedding_model != real.embedding_model
    await server.wait_until_ready()
    assert stub.embedding_model in await _list_models(server)


async def test_a_killed_server_comes_back_at_the_same_place(
    server: ModelServer, tmp_path: Path
) -> None:
    await server.wait_until_ready()
    [pid] = _children(os.getpid(), str(tmp_path))
    os.kill(pid, signal.SIGKILL)
    for wanted in (False, True):
        while server.is_ready is not wanted:  # noqa: ASYNC110 - it has no event for being away
            await asyncio.sleep(0.05)
    assert await _list_models(server)


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("in the way")
    server = ModelServer(Settings(home=tmp_path, model_engine="stub"))
    task = asyncio.create_task(server.run())
    with pytest.raises(ModelServerError, match=r"did not start: .*models.*modelserver\.log"):
        await server.wait_until_ready()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def test_it_ends_when_its_owner_is_killed() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER], stdout=subprocess.PIPE, start_new_session=True
    )
    assert owner.stdout is not None
    child = int(owner.stdout.readline())
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    for _ in range(200):
        if not Path(f"/proc/{child}").exists() or _is_zombie(child):
            return
        signal.sigtimedwait([], 0.05)
    pytest.fail("the child outlived its owner")


_OWNER = """
import subprocess, sys, time
child = subprocess.Popen(
    [sys.executable, "-m", "app.leash", "http.server", "0", "--bind", "127.0.0.1"],
    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    start_new_session=True,
)
print(child.pid, flush=True)
time.sleep(60)
"""


def _is_zombie(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    return True


def _children(pid: int, word: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(path.read_text().rsplit(")", 1)[1].split()[1])
            if parent == pid and word in (path.parent / "cmdline").read_text():
                found.append(int(path.parent.name))
    return found
