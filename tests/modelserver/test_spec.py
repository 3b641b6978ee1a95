"""Our objects against the schemas of OpenAI's spec, and the requests of its client's own tests.

The spec is not part of this repository: set NOD_OPENAPI to a folder that holds
`openai-core.schema.json` and `requests.jsonl`, or keep it in `shared/openapi` beside it.
"""

import json
import os
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


async def test_the_requests_of_the_clients_own_tests_are_understood(
    tmp_path: Path, schemas: dict[str, Any]
) -> None:
    """Its objects don't exist here, but what it sends must never be the reason for a refusal."""
    aliases = ("gpt-5.4=" + BASE, "text-embedding-3-small=multilingual-e5-small")
    options = [text for alias in aliases for text in ("--alias", alias)]
    requests = [json.loads(line) for line in (FOLDER / "requests.jsonl").read_text().splitlines()]
    with running_modelserver(tmp_path, *options) as server:
        async with httpx2.AsyncClient(base_url=server.url) as http:
            for request in requests:
                answer = await http.request(
                    request["m"],
                    f"{server.url}{request['p']}?{request['q']}",
                    content=request["b"].encode(),
                    headers={"Content-Type": content_type(request)} if request["ct"] else {},
                )
                assert answer.status_code < 500, request
                if answer.status_code >= 400:
                    check(schemas, "ErrorResponse", answer.json())
                if request["p"] in ("/chat/completions", "/embeddings", "/files"):
                    is_known = request["m"] == "POST" or request["p"] == "/files"
                    assert answer.status_code == (200 if is_known else 405), (request, answer.text)
