"""Beside OpenAI's old `fine_tunes.prepare_data`, on the inputs and outputs that it left us."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from finetune.prepare.errors import UselessDataError
from tests.finetune.prepare.preparing import prepare

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "prepare_data"
MENDED = {
    "13_missing_completion": "`answer` is understood as `completion`",
    "17_long": "one shouting outlier does not lower everything",
    "30_messages_chat_format": "chat data are prepared, not refused",
}
"""Where we differ on purpose, and how."""


def _cases() -> list[Any]:
    manifest = SHARED / "manifest.jsonl"
    if not manifest.is_file():
        return []
    return [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]


CASES = [case for case in _cases() if Path(case["input"]).stem not in MENDED]
needs_cases = pytest.mark.skipif(not CASES, reason=f"{SHARED} is not on this machine")


@needs_cases
@pytest.mark.parametrize("case", CASES, ids=lambda case: Path(case["input"]).name)
def test_a_good_case_comes_out_as_it_did_in_the_old_tool(case: Any, tmp_path: Path) -> None:
    source = shutil.copy(SHARED / case["input"], tmp_path)
    if case["rc"]:
        with pytest.raises(UselessDataError):
            prepare(Path(source))
        return
    prepared = prepare(Path(source))
    old = [
        [json.loads(line) for line in (SHARED / name).read_text("utf-8").splitlines()]
        for name in case["outputs"]
    ]
    if old:
        assert [prepared.rows, prepared.valid][: len(old)] == old
    else:
        given = [json.loads(line) for line in Path(source).read_text("utf-8").splitlines()]
        assert prepared.rows == given  # nothing to mend
        assert not prepared.plan.changes_anything
    assert prepared.titles == [title for title in map(_title, case["actions"]) if title]


def _title(action: str) -> str | None:
    """The remedies alone: what a reader does stands elsewhere."""
    text = action.split("] ", 1)[1]
    readers = ("Your format", "Lower case column name", "Remove additional columns")
    if text.startswith(readers) or "Remove 1 rows with empty completions" in text:
        return None  # and a blank last line is no row to us
    return text.replace(
        "Would you like to split into training and validation set?",
        "Split into training and validation set",
    )


@needs_cases
def test_a_mended_case_keeps_all_that_was_sound(tmp_path: Path) -> None:
    for name in MENDED:
        source = Path(shutil.copy(next((SHARED / "in").glob(f"{name}*")), tmp_path))
        prepared = prepare(source)
        assert len(prepared.rows) == 10, name
        assert not any("Lowercase" in title for title in prepared.titles)
