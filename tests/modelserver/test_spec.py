"""Our objects against the schemas of OpenAI's spec, and the requests of its client's own tests.

The spec is not part of this repository: set NOD_OPENAPI to a folder that holds
`openai-core.schema.json` and `requests.jsonl`, or keep it in `shared/openapi` beside it.
"""

import contextlib
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import pytest
from openai import AsyncOpenAI

from tests.modelserver.training_jobs import BASE, PAIRS, lines_of, upload, wait_for
from tests.modelserver_process import ROOT, running_modelserver

FOLDER = Path(os.environ.get("NOD_OPENAPI", ROOT.parent / "shared" / "openapi"))

pytestmark = pytest.mark.skipif(
    not (FOLDER / "openai-core.schema.json").exists(), reason=f"no OpenAPI spec in {FOLDER}"
)


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    text = (FOLDER / "openai-core.schema.json").read_text()
    # The excerpt still points to where a few schemas lie in the whole spec.
    loaded: dict[str, Any] = json.loads(text.replace("#/components/schemas/", "#/$defs/"))
    return loaded["$defs"]


def check(schemas: dict[str, Any], name: str, value: Any) -> None:
    schema = {"$ref": f"#/$defs/{name}", "$defs": schemas}
    jsonschema.Draft202012Validator(schema).validate(value)


def read_events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def content_type(request: dict[str, str]) -> str:
    """As recorded; of a form's boundary the record has only the beginning."""
    if not request["ct"].startswith("multipart"):
        return request["ct"]
    return "multipart/form-data; boundary=" + request["b"].split("\r\n")[0].removeprefix("--")


async def test_every_object_is_as_the_spec_has_it(
    client: AsyncOpenAI, schemas: dict[str, Any]
) -> None:
    file_id = await upload(client, lines_of(PAIRS))
    job = await client.fine_tuning.jobs.create(
        model=BASE, training_file=file_id, validation_file=file_id, metadata={"run": "1"}
    )
    tuned = (await wait_for(client, job.id)).fine_tuned_model
    jobs = f"fine_tuning/jobs/{job.id}"
    async with httpx2.AsyncClient(base_url=str(client.base_url)) as http:
        for path, name in {
            "models": "ListModelsResponse",
            f"models/{tuned}": "Model",
            "files": "ListFilesResponse",
            "files?purpose=none": "ListFilesResponse",
            f"files/{file_id}": "OpenAIFile",
            "fine_tuning/jobs": "ListPaginatedFineTuningJobsResponse",
            jobs: "FineTuningJob",
            f"{jobs}/events": "ListFineTuningJobEventsResponse",
            f"{jobs}/checkpoints": "ListFineTuningJobCheckpointsResponse",
            "fine_tuning/jobs/none/checkpoints": "ErrorResponse",
            "models/none": "ErrorResponse",
            "nowhere": "ErrorResponse",
        }.items():
            check(schemas, name, (await http.get(path)).json())
        chat = {
            "model": tuned,
            "messages": [{"role": "user", "content": PAIRS[0][0]}],
            "logprobs": True,
            "top_logprobs": 2,
            "n": 2,
        }
        answer = await http.post("chat/completions", json=chat)
        check(schemas, "CreateChatCompletionResponse", answer.json())
        stream = {"stream": True, "stream_options": {"include_usage": True}}
        events = read_events((await http.post("chat/completions", json=chat | stream)).text)
        for event in events:
            check(schemas, "CreateChatCompletionStreamResponse", event)
        vectors = await http.post(
            "embeddings",
            json={"model": "multilingual-e5-small", "input": "x"},
        )
        check(schemas, "CreateEmbeddingResponse", vectors.json())
        deleted = (await http.delete(f"models/{tuned}")).json()
        check(schemas, "DeleteModelResponse", deleted)
        check(schemas, "DeleteFileResponse", (await http.delete(f"files/{file_id}")).json())


def make_what_they_name(data_dir: Path) -> None:
    """The file, the job and the models that the client's tests take to be there."""
    content = lines_of(PAIRS)
    with contextlib.closing(sqlite3.connect(data_dir / "modelserver.sqlite3")) as db, db:
        for file_id in ("file_id", "file-abc123"):
            (data_dir / "files" / file_id).write_bytes(content)
            db.execute(
                "INSERT OR REPLACE INTO files (id, filename, bytes, purpose, created_at)"
                " VALUES (?, 'f.jsonl', ?, 'fine-tune', 1)",
                (file_id, len(content)),
            )
        db.execute(
            "INSERT OR REPLACE INTO jobs (id, created_at, status, is_paused, base, method,"
            " hyperparameters, seed, suffix, metadata, training_file)"
            " VALUES ('ft-AF1WoRqd3aJAHsqc9NY7iL8F', 1, 'queued', 1, ?, 'supervised', '{}', 1,"
            " '', '{}', 'file-none')",
            (BASE,),
        )
        db.execute(
            "INSERT OR IGNORE INTO models (id, name, job_id, base, path, created_at)"
            " VALUES ('m', 'ft:gpt-4o-mini:acemeco:suffix:abc123', 'j', ?, 'jobs/none', 1)",
            (BASE,),
        )


async def test_the_requests_of_the_clients_own_tests_are_answered(
    tmp_path: Path, schemas: dict[str, Any]
) -> None:
    aliases = [f"gpt-5.4={BASE}", f"gpt-4o-mini={BASE}"]
    aliases.append("text-embedding-3-small=multilingual-e5-small")
    options = [text for alias in aliases for text in ("--alias", alias)]
    requests = [json.loads(line) for line in (FOLDER / "requests.jsonl").read_text().splitlines()]
    with running_modelserver(tmp_path, *options) as server:
        async with httpx2.AsyncClient(base_url=server.url) as http:
            for request in requests:
                make_what_they_name(tmp_path)
                answer = await http.request(
                    request["m"],
                    f"{server.url}{request['p']}?{request['q']}",
                    content=request["b"].encode(),
                    headers={"Content-Type": content_type(request)} if request["ct"] else {},
                )
                told = (request, answer.text)
                if answer.status_code != 200:
                    check(schemas, "ErrorResponse", answer.json())
                    assert is_not_here(request), told


def is_not_here(request: dict[str, str]) -> bool:
    """Stored chat completions, and reports to a service elsewhere."""
    is_stored = request["p"].startswith("/chat/completions") and (
        request["m"] != "POST" or request["p"] != "/chat/completions"
    )
    return is_stored or "integrations" in request["b"]
