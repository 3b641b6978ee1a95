import json
from pathlib import Path

import pytest

from bench.rig.needs import NotHereError
from bench.rig.support_lines import CHANNEL, read_desk
from bench.support import FOLDER, main
from finetune.split import side_of
from store import Split, conversation_id

SHARE = 0.2
SYSTEM = "You answer for a shop."


def test_every_line_falls_on_the_side_of_its_file(tmp_path: Path) -> None:
    _write(tmp_path / "sft_train.jsonl", 40)
    _write(tmp_path / "sft_valid.jsonl", 10)

    desk = read_desk(tmp_path, answer_chars=100, holdout_share=SHARE)

    assert (len(desk.train), len(desk.holdout)) == (40, 10)
    assert {_side(pair.address) for pair in desk.train} == {Split.train}
    assert {_side(pair.address) for pair in desk.holdout} == {Split.holdout}
    assert desk.system_prompt == SYSTEM


def test_lines_with_long_answers_are_left_out(tmp_path: Path) -> None:
    _write(tmp_path / "sft_train.jsonl", 3, answer="x" * 101)
    _write(tmp_path / "sft_valid.jsonl", 3, answer="x" * 100)

    desk = read_desk(tmp_path, answer_chars=100, holdout_share=SHARE)

    assert (len(desk.train), len(desk.holdout)) == (0, 3)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    _write(tmp_path / "sft_train.jsonl", 1)

    with pytest.raises(NotHereError, match=r"has no \S*sft_valid\.jsonl$"):
        read_desk(tmp_path, answer_chars=100, holdout_share=SHARE)


def test_without_a_folder_the_bench_says_in_one_line_what_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(FOLDER, raising=False)

    with pytest.raises(NotHereError, match=rf"^set {FOLDER} to a folder with .+$") as caught:
        main()

    assert "\n" not in str(caught.value)


def _write(path: Path, count: int, *, answer: str = "Yes.") -> None:
    roles = ("system", "user", "assistant")
    lines = (
        [
            {"role": role, "content": content}
            for role, content in zip(roles, (SYSTEM, f"Question {n}?", answer), strict=True)
        ]
        for n in range(count)
    )
    path.write_text("".join(json.dumps({"messages": line}) + "\n" for line in lines))


def _side(address: str) -> Split:
    return side_of(conversation_id(CHANNEL, address), SHARE)
