"""What is written is what was read."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from finetune.prepare.batch import Batch
from finetune.prepare.writing import encode
from tests.finetune.prepare.preparing import prepare, write_lines

HARD = st.text('",\\\n []{}:ab\u2028短\0', max_size=8)


@given(st.lists(st.tuples(HARD, HARD)))
def test_a_pair_comes_back_from_its_line_whatever_stands_in_it(
    pairs: list[tuple[str, str]],
) -> None:
    prompts, completions = [list(map(str, texts)) for texts in zip(*pairs, strict=True)] or [[], []]
    lines = encode(Batch(numbers=range(len(pairs)), prompts=prompts, completions=completions))
    assert all(line.endswith(b"}\n") and line.count(b"\n") == 1 for line in lines)
    assert [tuple(json.loads(line).values()) for line in lines] == pairs


def test_texts_that_end_like_json_are_written_as_they_are(tmp_path: Path) -> None:
    rows = [
        {"prompt": f'say {number} ",', "completion": f' "{number}","\n'} for number in range(20)
    ]
    assert (
        prepare(write_lines(tmp_path / "a.jsonl", rows), answers={"separator": "no"}).rows == rows
    )
