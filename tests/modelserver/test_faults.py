"""A full disk, files of any size and queues of any length: said in plain words, and it goes on."""

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from openai import AsyncOpenAI, BadRequestError, InternalServerError

from tests.modelserver.training_jobs import (
    BASE,
    PAIRS,
    Connect,
    ask,
    lines_of,
    upload,
    wait_for,
)
from tests.modelserver_process import ModelServer, running_modelserver

MEGABYTE = 1 << 20


@contextmanager
def room_for(size: int, server: ModelServer) -> Iterator[None]:
    """No file of the server, nor of what it starts, can grow beyond this: as on a full disk."""
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, hard))
    yield
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (hard, hard))


def most_memory(server: ModelServer) -> int:
    """Bytes that the server held at its highest."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


async def test_a_full_disk_refuses_an_upload_and_keeps_the_rest(
    tmp_path: Path, connect: Connect
) -> None:
    with running_modelserver(tmp_path) as server:
        client = connect(server.url)
        before = await upload(client, b"before")
        with room_for(MEGABYTE, server), pytest.raises(InternalServerError) as refused:
            await upload(client, b"x" * 2 * MEGABYTE)
        assert refused.value.code == "disk_full"
        assert refused.value.response.headers["x-should-retry"] == "false"
        assert [path.name for path in (tmp_path / "files").iterdir()] == [before]
        assert await upload(client, b"x" * 2 * MEGABYTE)


async def test_a_trainer_that_finds_the_disk_full_says_so(tmp_path: Path, connect: Connect) -> None:
    long = [("What is long?", "word " * MEGABYTE)]
    with running_modelserver(tmp_path) as server:
        client = connect(server.url)
        file_id = await upload(client, lines_of([*long, *PAIRS]))
        with room_for(MEGABYTE, server):
            job = await client.fine_tuning.jobs.create(model=BASE, training_file=file_id)
            failed = await wait_for(client, job.id)
        assert failed.status == "failed"
        assert "the disk is full" in failed.error.message
        assert await ask(client, BASE, "Are you well?")


async def test_a_large_file_passes_through_little_memory(tmp_path: Path, connect: Connect) -> None:
    content = lines_of(PAIRS) + b"\n"
    content *= 12 * MEGABYTE // len(content)
    with running_modelserver(tmp_path) as server:
        client = connect(server.url)
        await upload(client, content[:MEGABYTE])
        before = most_memory(server)
        file_id = await upload(client, content)
        job = await client.fine_tuning.jobs.create(model=BASE, training_file=file_id)
        await wait_for(client, job.id, "running")
        assert most_memory(server) - before < 6 * MEGABYTE
        await client.fine_tuning.jobs.cancel(job.id)


async def test_an_empty_file_is_kept_but_not_trained_on(client: AsyncOpenAI) -> None:
    file_id = await upload(client, b"")
    assert (await client.files.retrieve(file_id)).bytes == 0
    with pytest.raises(BadRequestError, match=r"has 0 example\(s\)"):
        await client.fine_tuning.jobs.create(model=BASE, training_file=file_id)


async def test_ten_thousand_queued_jobs_are_listed_and_left_in_peace(
    tmp_path: Path, connect: Connect
) -> None:
    with running_modelserver(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "modelserver.sqlite3") as db:
        db.executemany(
            "INSERT INTO jobs (id, created_at, status, is_paused, base, method, hyperparameters,"
            " seed, suffix, metadata, training_file)"
            " VALUES (?, 1, 'queued', 1, ?, 'supervised', '{}', 1, '', '{}', 'file-none')",
            [(f"ftjob-{i:05}", BASE) for i in range(10_000)],
        )
    with running_modelserver(tmp_path) as server:
        client = connect(server.url)
        async with httpx2.AsyncClient(base_url=server.url) as http:
            listed = (await http.get("fine_tuning/jobs", params={"limit": 10_000})).json()
        assert len(listed["data"]) == 10_000
        file_id = await upload(client, lines_of(PAIRS))
        job = await client.fine_tuning.jobs.create(model=BASE, training_file=file_id)
        assert (await wait_for(client, job.id)).status == "succeeded"
        assert (await client.fine_tuning.jobs.cancel("ftjob-09999")).status == "cancelled"
