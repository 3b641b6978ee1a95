"""Training files: what is wrong is named with its line, its key and the way out."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelserver.validate import TrainingFileError, check_file, count_examples

GOOD = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
PAIR = {
    "input": {"messages": [{"role": "user", "content": "q"}]},
    "preferred_completion": [{"role": "assistant", "content": "good"}],
    "non_preferred_completion": [{"role": "assistant", "content": "bad"}],
}


def write(path: Path, *lines: Any) -> Path:
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path.write_bytes(b"\n".join(texts))
    return path


def test_good_files_are_counted(tmp_path: Path) -> None:
    weighted = {"messages": [*GOOD["messages"], {"role": "assistant", "content": "", "weight": 0}]}
    called = {
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "s"}]},
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        ],
        "tools": [],
    }
    file = write(tmp_path / "f", b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), b"", weighted, called)
    assert check_file(file, "supervised", at_least=1) == 3
    assert check_file(write(tmp_path / "g", PAIR), "dpo", at_least=1) == 1
    plain = {"prompt": "p", "completion": "c"}
    assert check_file(write(tmp_path / "h", plain), "supervised", at_least=1) == 1
    assert count_examples(file, at_most=2) == 2


def with_message(**message: Any) -> dict[str, Any]:
    return {"messages": [*GOOD["messages"], message]}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"{", "line 2: not JSON"),
        (b"[]", "line 2: a list"),
        (b'{"messages": NaN}', "line 2: NaN is not a JSON number"),
        (b"\xff\xfe", "line 2: byte 1 is not UTF-8"),
        (b'{"messages": "\\ud800"}', "line 2: half of a surrogate pair"),
        ({}, "messages must be a list of at least one message, not nothing"),
        ({"messages": []}, "messages must be a list"),
        ({"message": []}, "'message' is not a known key"),
        (with_message(role="bot", content="x"), 'messages[2].role is "bot"; use one of'),
        (with_message(role="user", content=7), "messages[2].content must be a text, not 7"),
        (with_message(role="user"), "messages[2].content must be a text, not nothing"),
        (
            with_message(role="assistant", content="x", weight=2),
            "messages[2].weight is 2; use 0 (don't train on it) or 1",
        ),
        (with_message(role="user", content="x", weight=1), "messages[2].weight stands on a user"),
        (
            with_message(role="user", content=[{"type": "image_url"}]),
            "messages[2].content[0] must be a part of type 'text'",
        ),
        ({"messages": GOOD["messages"][:1]}, "no assistant message to learn from"),
        ({"prompt": "p"}, "completion must be a text, not nothing"),
    ],
)
def test_a_bad_line_is_named_with_its_key_and_the_way_out(
    tmp_path: Path, line: Any, complaint: str
) -> None:
    with pytest.raises(TrainingFileError) as refused:
        check_file(write(tmp_path / "f", GOOD, line), "supervised")
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("size", "complaint"), [(100_000, "nested too deeply"), (9 << 20, "longer than 8 MB")]
)
def test_a_line_without_end_is_named(tmp_path: Path, size: int, complaint: str) -> None:
    with pytest.raises(TrainingFileError, match=f"line 2.*{complaint}"):
        check_file(write(tmp_path / "f", GOOD, b"[" * size), "supervised")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"input": None}, "input must be an object"),
        ({"preferred_completion": []}, "preferred_completion must be a list"),
        ({"non_preferred_completion": [{"role": "user", "content": "x"}]}, "exactly one message"),
        ({"chosen": 1}, "'chosen' is not a known key"),
    ],
)
def test_a_bad_pair_is_named(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TrainingFileError, match=f"line 1: .*{complaint}"):
        check_file(write(tmp_path / "f", PAIR | change), "dpo")


def test_too_few_examples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingFileError, match=r"has 9 example\(s\), but must have at least 10"):
        check_file(write(tmp_path / "f", *[GOOD] * 9), "supervised")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["messages", "role", "content", "weight", "input", "type", "text"]),
            inner,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=anything | st.binary(max_size=60), method=st.sampled_from(["supervised", "dpo"]))
def test_whatever_a_line_holds_it_passes_or_is_explained(
    tmp_path: Path, line: Any, method: str
) -> None:
    try:
        check_file(write(tmp_path / "f", line), method, at_least=0)
    except TrainingFileError as error:
        complaint = str(error)
    else:
        complaint = "line 1 is good"
    assert complaint.startswith("line ")
