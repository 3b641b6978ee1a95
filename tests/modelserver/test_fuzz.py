"""Whatever a request holds: never a 5xx, never a traceback, always OpenAI's error shape."""

import json
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tests.modelserver.training_jobs import BASE

KEYS = {
    "/chat/completions": [
        "model", "messages", "stream", "stream_options", "n", "temperature", "top_p", "stop",
        "seed", "max_tokens", "logprobs", "top_logprobs", "logit_bias", "response_format",
        "tools", "tool_choice", "role", "content",
    ],
    "/completions": ["model", "prompt", "echo", "logprobs", "stop", "n", "stream"],
    "/responses": [
        "model", "input", "instructions", "type", "role", "content", "call_id", "output", "text",
        "format", "tools", "tool_choice", "name", "include", "stream", "max_output_tokens",
    ],
    "/embeddings": ["model", "input", "dimensions", "encoding_format"],
    "/fine_tuning/jobs": [
        "model", "training_file", "validation_file", "method", "type", "hyperparameters",
        "n_epochs", "suffix", "seed", "metadata", "integrations",
    ],
    "/fine-tunes": [
        "model", "training_file", "validation_file", "n_epochs", "batch_size", "suffix",
        "learning_rate_multiplier", "compute_classification_metrics",
        "classification_n_classes", "classification_positive_class", "classification_betas",
    ],
}  # fmt: skip
NAMES = [BASE, "multilingual-e5-small", "user", "supervised", "", "x", "\0", "\ud800"]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-5, 5)
    | st.floats()
    | st.sampled_from(NAMES)
    | st.text(max_size=8)
)


def bodies(keys: list[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(keys), inner, max_size=8)
        ),
        max_leaves=15,
    )


@pytest.fixture(scope="module")
def http(modelserver_url: str) -> Any:
    with httpx2.Client(base_url=modelserver_url, timeout=30) as client:
        yield client


def check(answer: httpx2.Response) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        assert "Traceback" not in answer.text


@pytest.mark.parametrize("path", KEYS)
def test_any_json_is_answered_or_explained(http: Any, path: str) -> None:
    good = {
        "model": BASE if path != "/embeddings" else "multilingual-e5-small",
        "messages": [{"role": "user", "content": "x"}],
        "prompt": "x",
        "input": "x",
        "training_file": "file-x",
    }

    @settings(max_examples=40, deadline=None)
    @given(body=bodies(KEYS[path]), is_mostly_good=st.booleans())
    @example(body={"messages": [{"role": "user", "content": "\ud800"}]}, is_mostly_good=True)
    @example(body={"seed": 10**30, "n": 10**30}, is_mostly_good=True)
    def post(body: Any, is_mostly_good: bool) -> None:
        if is_mostly_good and isinstance(body, dict):
            body = good | body
        content = json.dumps(body).encode()
        check(http.post(path, content=content, headers={"Content-Type": "application/json"}))

    post()


@pytest.mark.parametrize("path", [*KEYS, "/files"])
def test_any_bytes_are_answered_or_explained(http: Any, path: str) -> None:
    types = ["application/json", "multipart/form-data; boundary=b", "text/plain", "x", ""]

    @settings(max_examples=25, deadline=None)
    @given(content=st.binary(max_size=200), kind=st.sampled_from(types))
    @example(content=b"[" * 100_000, kind="application/json")
    @example(content=b'{"model": ' + b"9" * 5000 + b"}", kind="application/json")
    def post(content: bytes, kind: str) -> None:
        check(http.post(path, content=content, headers={"Content-Type": kind}))

    post()


@settings(max_examples=20, deadline=None)
@given(name=st.text(min_size=1, max_size=20), query=st.text(max_size=20), limit=st.integers())
@example(name="../../../etc/passwd", query="null", limit=0)
@example(name="..", query="", limit=10**30)
@example(name="/", query="", limit=0)
def test_any_path_and_query_is_answered_or_explained(
    modelserver_url: str, name: str, query: str, limit: int
) -> None:
    assume(name != ".")  # the client leaves it out of the path
    part = quote(name, safe="")
    with httpx2.Client(base_url=modelserver_url, timeout=30) as http:
        for path in (f"/files/{part}", f"/files/{part}/content", f"/models/{part}"):
            answer = http.get(path)
            check(answer)
            assert answer.status_code >= 400 or name in NAMES
        for path in ("/files", "/fine_tuning/jobs", f"/fine_tuning/jobs/{part}/events"):
            params = {"after": query, "limit": limit, f"metadata[{name}]": query, "order": query}
            check(http.get(path, params=params))
        for action in ("cancel", "pause", "resume"):
            check(http.post(f"/fine_tuning/jobs/{part}/{action}"))
        check(http.request("DELETE", f"/files/{part}"))
