"""Files and embeddings over the real API."""

import base64
import math
import struct
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import APIStatusError, AsyncOpenAI, BadRequestError, NotFoundError

from tests.modelserver.training_jobs import BASE, PAIRS, Connect, lines_of, upload
from tests.modelserver_process import running_modelserver


async def test_a_file_comes_back_as_it_went_in(client: AsyncOpenAI) -> None:
    content = bytes(range(256)) * 5000
    file = await client.files.create(
        file=("../../etc/passwd", content),
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert file.bytes == len(content)
    assert file.expires_at == file.created_at + 3600
    assert (await client.files.content(file.id)).read() == content
    assert (await client.files.delete(file.id)).deleted
    with pytest.raises(NotFoundError):
        await client.files.retrieve(file.id)
    with pytest.raises(NotFoundError):
        await client.files.content(file.id)


async def test_files_are_listed_in_pages_by_purpose(tmp_path: Path, connect: Connect) -> None:
    with running_modelserver(tmp_path) as server:
        client = connect(server.url)
        made = [await upload(client, b"x", "batch") for _ in range(5)]
        await upload(client, b"y", "evals")
        newest_first = [file.id async for file in client.files.list(purpose="batch", limit=2)]
        assert newest_first == made[::-1]
        oldest_first = await client.files.list(purpose="batch", order="asc", after=made[1])
        assert [file.id for file in oldest_first.data] == made[2:]


@pytest.mark.parametrize("purpose", ["", "fine-tune-results", "nonsense"])
async def test_a_wrong_purpose_is_refused(client: AsyncOpenAI, purpose: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        await upload(client, b"x", purpose)
    assert refused.value.param == "purpose"


async def test_an_upload_over_the_limit_leaves_nothing(tmp_path: Path, connect: Connect) -> None:
    with running_modelserver(tmp_path, "--max-file-mb", "1") as server:
        client = connect(server.url)
        for size in (1 << 20, 3 << 20):
            with pytest.raises(APIStatusError) as refused:
                await upload(client, b"x" * (size + 1))
            assert refused.value.status_code in (400, 413)
        assert list((tmp_path / "files").iterdir()) == []


async def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    with running_modelserver(tmp_path) as server:
        torn = b'--b\r\nContent-Disposition: form-data; name="file"; filename="t"\r\n\r\nhalf'
        async with httpx2.AsyncClient() as plain:
            answer = await plain.post(
                f"{server.url}/files",
                content=torn,
                headers={"Content-Type": "multipart/form-data; boundary=b"},
            )
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_request_error"
        assert list((tmp_path / "files").iterdir()) == []


async def test_a_file_that_a_job_needs_is_kept(tmp_path: Path, connect: Connect) -> None:
    with running_modelserver(tmp_path, "--stub-delay-s", "1") as server:
        client = connect(server.url)
        file_id = await upload(client, lines_of(PAIRS))
        job = await client.fine_tuning.jobs.create(model=BASE, training_file=file_id)
        with pytest.raises(BadRequestError, match=job.id):
            await client.files.delete(file_id)
        await client.fine_tuning.jobs.cancel(job.id)
        assert (await client.files.delete(file_id)).deleted


async def test_embeddings_are_the_same_in_float_and_base64(client: AsyncOpenAI) -> None:
    asked: dict[str, Any] = {"model": "multilingual-e5-small", "input": ["query: beds", "床"]}
    plain = await client.embeddings.create(**asked, encoding_format="float")
    packed = await client.embeddings.create(**asked, encoding_format="base64")
    assert [len(one.embedding) for one in plain.data] == [384, 384]
    raw: Any = packed.data[0].embedding
    numbers = struct.unpack("<384f", base64.b64decode(raw))
    assert numbers == pytest.approx(plain.data[0].embedding)
    assert sum(x * x for x in numbers) == pytest.approx(1, abs=1e-5)


async def test_fewer_dimensions_are_the_first_ones_brought_to_length_one(
    client: AsyncOpenAI,
) -> None:
    asked: dict[str, Any] = {
        "model": "multilingual-e5-small",
        "input": "query: " + " ".join(map(str, range(99))),
    }
    whole = (await client.embeddings.create(**asked)).data[0].embedding
    short = (await client.embeddings.create(**asked, dimensions=50)).data[0].embedding
    length = math.hypot(*whole[:50])
    assert short == pytest.approx([x / length for x in whole[:50]], abs=1e-5)


@pytest.mark.parametrize(
    "change", [{"input": []}, {"input": [""]}, {"input": [1, "x"]}, {"dimensions": 385}]
)
async def test_what_has_no_embedding_is_refused(client: AsyncOpenAI, change: Any) -> None:
    with pytest.raises(BadRequestError):
        await client.embeddings.create(
            **({"model": "multilingual-e5-small", "input": "x"} | change)
        )
