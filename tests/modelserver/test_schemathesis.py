"""The endpoints against OpenAI's spec by schemathesis: no 5xx, keys asked for, answers as written.

Where the spec is, see test_spec.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, settings

from tests.modelserver.test_spec import FOLDER
from tests.modelserver.training_jobs import BASE, PAIRS, lines_of
from tests.modelserver_process import running_modelserver

SPEC = FOLDER / "openai-subset.openapi.json"
if not SPEC.exists():
    pytest.skip(f"no OpenAPI spec in {FOLDER}", allow_module_level=True)
schemathesis = pytest.importorskip("schemathesis")

from schemathesis import checks as known_checks  # noqa: E402 (after the skips)
from schemathesis.specs.openapi import checks as openapi_checks  # noqa: E402

KEY = "sk-fuzz"
MODELS = {"/embeddings": "multilingual-e5-small"}
CHECKS = [
    known_checks.not_a_server_error,
    openapi_checks.response_schema_conformance,
    openapi_checks.ignored_auth,
    openapi_checks.unsupported_method,
]


# These two take schemathesis half a minute to invent; parts of them do as well.
PLAIN_BODIES: dict[str, Any] = {
    "/chat/completions": {
        "messages": {
            "type": "array",
            "minItems": 1,
            "items": {"properties": {"role": {"enum": ["user", "bot"]}, "content": {}}},
        },
        **{key: {} for key in ("n", "stop", "seed", "stream", "logprobs", "tools")},
        **{key: {"type": "number"} for key in ("temperature", "top_p", "max_tokens")},
    },
    "/fine_tuning/jobs": {
        "training_file": {"type": "string"},
        "method": {"properties": {"type": {"enum": ["supervised", "dpo", "x"]}}},
        "hyperparameters": {"properties": {"n_epochs": {"type": "integer"}}},
        **{key: {} for key in ("suffix", "seed", "metadata", "integrations")},
    },
}


def read_spec() -> dict[str, Any]:
    """With what requests may ask for and the schemas of answers leave out."""
    spec: dict[str, Any] = json.loads(SPEC.read_text())
    schemas = spec["components"]["schemas"]
    schemas["OpenAIFile"]["properties"]["purpose"]["enum"].append("evals")
    del schemas["Embedding"]["properties"]["embedding"]["type"]  # base64 is a string
    for path, properties in PLAIN_BODIES.items():
        body = {"type": "object", "properties": {"model": {"type": "string"}} | properties}
        body["required"] = list(body["properties"])[:2]
        spec["paths"][path]["post"]["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": body}},
        }
    return spec


schema = schemathesis.openapi.from_dict(read_spec())


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A server with a key, and names of what is there."""
    folder = tmp_path_factory.mktemp("fuzzed")
    with (
        running_modelserver(folder, "--api-key", KEY) as server,
        httpx2.Client(base_url=server.url, headers={"Authorization": f"Bearer {KEY}"}) as http,
    ):
        form = {"files": {"file": ("f", lines_of(PAIRS))}, "data": {"purpose": "fine-tune"}}
        file_id = http.post("files", **form).json()["id"]
        order = {"model": BASE, "training_file": file_id}
        job_id = http.post("fine_tuning/jobs", json=order).json()["id"]
        yield {
            "url": server.url,
            "file_id": file_id,
            "fine_tuning_job_id": job_id,
            "model": BASE,
        }


@schema.parametrize()
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_endpoint_keeps_to_the_spec(case: Any, real: dict[str, str]) -> None:
    is_real = len(repr(case.body)) % 2 == 0 or case.method == "GET"
    if is_real:  # else what was made up stays, and is most often not there
        for name in case.path_parameters or {}:
            case.path_parameters[name] = real[name]
        if isinstance(case.body, dict) and "model" in case.body:
            case.body["model"] = MODELS.get(case.path, BASE)
        if isinstance(case.body, dict) and "training_file" in case.body:
            case.body["training_file"] = real["file_id"]
    case.call_and_validate(
        base_url=real["url"], headers={"Authorization": f"Bearer {KEY}"}, checks=CHECKS
    )
