"""Remedies of pairs: what is suggested, and what comes of it."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune.prepare.affix import Affix
from finetune.prepare.errors import NothingPreparedError, UselessDataError
from finetune.prepare.options import Limits
from finetune.prepare.tokens import load_tokenizer
from tests.finetune.prepare.preparing import LIMITS, pairs, prepare, write_lines

ADDED = [
    "Add a suffix separator ` ->` to all prompts",
    "Add a suffix ending `\\n` to all completions",
    "Add a whitespace character to the beginning of the completion",
]


def test_plain_pairs_get_a_separator_an_ending_and_a_space(tmp_path: Path) -> None:
    rows = [{"prompt": "Hello?", "completion": "Hey."}, {"prompt": "Bye", "completion": "See you"}]
    prepared = prepare(write_lines(tmp_path / "a.jsonl", rows))
    assert prepared.titles == ADDED
    assert prepared.pairs == [("Hello? ->", " Hey.\n"), ("Bye ->", " See you\n")]


def test_one_row_is_enough(tmp_path: Path) -> None:
    prepared = prepare(
        write_lines(tmp_path / "a.jsonl", [{"prompt": "Hello?", "completion": "Hey"}])
    )
    assert prepared.pairs == [("Hello? ->", " Hey\n")]


def test_one_row_that_is_ready_stays(tmp_path: Path) -> None:
    ready = [{"prompt": "Hello? ->", "completion": " Hey\n"}]
    prepared = prepare(write_lines(tmp_path / "a.jsonl", ready))
    assert prepared.rows == ready
    assert not prepared.plan.changes_anything


@pytest.mark.parametrize("answer", ["NA", "None", "null", "nan", "N/A", "NULL", "#N/A"])
def test_an_answer_that_looks_like_nothing_is_kept(answer: str, tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    rows = "".join(f"Is it the parcel {n}?,it is of {n}\n" for n in range(8))
    table.write_text(f"prompt,completion\nIs it empty?,{answer}\n{rows}", "utf-8")
    assert f" {answer}\n" in [completion for _, completion in prepare(table).pairs]


def test_only_empty_and_blank_completions_go(tmp_path: Path) -> None:
    blank = [{"prompt": f"q{n}", "completion": c} for n, c in enumerate(["", "  ", None])]
    rows = [*pairs(4), *blank]
    prepared = prepare(write_lines(tmp_path / "a.jsonl", rows))
    assert "Remove 3 rows with empty completions" in prepared.titles
    assert len(prepared.rows) == 4


def test_each_remedy_drops_its_own_rows_whatever_went_before(tmp_path: Path) -> None:
    long = {"prompt": "Tell me all", "completion": "word " * 3000}
    good = pairs(6)
    rows = [good[0], good[0], good[1], {"prompt": "empty", "completion": ""}, *good[2:4], long,
            *good[4:]]  # fmt: skip
    prepared = prepare(write_lines(tmp_path / "a.jsonl", rows))
    kept = [prompt.removesuffix(" ->") for prompt, _ in prepared.pairs]
    assert kept == [row["prompt"] for row in good]


def test_a_declined_remedy_changes_nothing(tmp_path: Path) -> None:
    rows = [*pairs(3), *pairs(3)]
    prepared = prepare(write_lines(tmp_path / "a.jsonl", rows), ask=lambda remedy: "no")
    assert prepared.rows == rows


def test_one_shouting_outlier_lowers_nothing(tmp_path: Path) -> None:
    rows = [*pairs(9), {"prompt": "WHERE IS IT " * 80, "completion": "it is here"}]
    titles = prepare(write_lines(tmp_path / "a.jsonl", rows)).titles
    assert not any("Lowercase" in title for title in titles)


def test_data_that_shouts_throughout_is_lowered(tmp_path: Path) -> None:
    rows = [{key: value.upper() for key, value in row.items()} for row in pairs(6)]
    prepared = prepare(write_lines(tmp_path / "a.jsonl", rows))
    assert prepared.titles[:2] == [
        "Lowercase all your data in column/key `prompt`",
        "Lowercase all your data in column/key `completion`",
    ]
    assert all(prompt == prompt.lower() for prompt, _ in prepared.pairs)


@pytest.mark.parametrize(
    ("inside", "separator"),
    [
        ("", " ->"),
        ("\n", "\n\n###\n\n"),
        (" -> ", "\n\n###\n\n"),
        ("\n\n###\n\n and ->", "\n\n===\n\n"),
    ],
)
def test_the_separator_is_one_that_no_prompt_contains(
    inside: str, separator: str, tmp_path: Path
) -> None:
    rows = [{**row, "prompt": f"{row['prompt']}{inside}{n}"} for n, row in enumerate(pairs(5))]
    prepared = prepare(write_lines(tmp_path / "a.jsonl", rows))
    assert all(prompt.endswith(separator) for prompt, _ in prepared.pairs)
    assert all(prompt.count(separator) == 1 for prompt, _ in prepared.pairs)


def test_long_prefixes_go_and_short_ones_stay(tmp_path: Path) -> None:
    rows = [
        {
            "prompt": f"You are a helpful agent. {row['prompt']}",
            "completion": f"Answer: {row['completion']}",
        }
        for row in pairs(5)
    ]
    prepared = prepare(write_lines(tmp_path / "a.jsonl", rows))
    assert "Remove prefix `You are a helpful agent. ` from all prompts" in prepared.titles
    assert "Remove prefix `Answer: ` from all completions" in prepared.titles
    assert prepared.pairs[0] == (f"{pairs(1)[0]['prompt']} ->", f" {pairs(1)[0]['completion']}\n")


def test_a_prefix_that_is_all_of_a_completion_is_not_removed(tmp_path: Path) -> None:
    rows = [{"prompt": f"{n} is", "completion": f"Answer: {'x' * n}"} for n in range(4)]
    prepared = prepare(write_lines(tmp_path / "a.jsonl", rows))
    assert all(completion.strip() for _, completion in prepared.pairs)


def test_conflicting_answers_are_reported_and_stay_unless_told_otherwise(tmp_path: Path) -> None:
    same = pairs(1)[0]["prompt"]
    rows = [*pairs(5), {"prompt": same, "completion": "it is lost"}]
    path = write_lines(tmp_path / "a.jsonl", rows)
    prepared = prepare(path)
    remedy = next(each for each, _ in prepared.plan.decided if each.name == "conflicts")
    assert remedy.title == "1 prompts have different completions, 2 rows in all"
    assert "Line 1, line 6" in remedy.why
    assert len(prepared.rows) == 6
    for way, kept in (("first", pairs(1)[0]["completion"]), ("last", "it is lost")):
        answers = {same + " ->": kept}
        got = dict(prepare(path, answers={"conflicts": way}).pairs)
        assert got[same + " ->"].strip() == answers[same + " ->"].strip()
    assert len(prepare(path, answers={"conflicts": "drop"}).rows) == 4


def test_near_duplicates_are_found_and_stay_unless_told_otherwise(tmp_path: Path) -> None:
    text = "Please tell me how long the delivery of a mattress to the fourth floor takes in winter"
    rows = [
        *pairs(5),
        {"prompt": text, "completion": "three days"},
        {"prompt": text + "?", "completion": "three days"},
    ]
    path = write_lines(tmp_path / "a.jsonl", rows)
    prepared = prepare(path)
    assert prepared.plan.near
    assert prepared.plan.near.pairs == [(5, 6)]
    assert len(prepared.rows) == 7
    assert len(prepare(path, answers={"near": "drop"}).rows) == 6


def test_the_same_prompt_in_every_row_is_refused(tmp_path: Path) -> None:
    rows = [{"prompt": "same", "completion": row["completion"]} for row in pairs(4)]
    with pytest.raises(UselessDataError, match="all prompts are the same: `same`"):
        prepare(write_lines(tmp_path / "a.jsonl", rows))


def test_nothing_but_empty_rows_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"prompt": "a", "completion": ""}])
    with pytest.raises(NothingPreparedError):
        prepare(path)
    assert [each.name for each in tmp_path.iterdir()] == ["a.jsonl"]


def test_classes_are_split_without_losing_or_repeating_a_row(tmp_path: Path) -> None:
    rows = [{**row, "completion": "yes" if n % 3 else "no"} for n, row in enumerate(pairs(40))]
    prepared = prepare(write_lines(tmp_path / "a.jsonl", rows))
    assert (len(prepared.rows), len(prepared.valid)) == (32, 8)
    both = {row["prompt"] for row in prepared.rows} | {row["prompt"] for row in prepared.valid}
    assert both == {f"{row['prompt']} ->" for row in rows}


@pytest.mark.parametrize(("way", "count"), [("drop", 3), ("keep", 4), ("truncate", 4)])
def test_examples_above_the_limit_of_the_model_are_a_choice(
    way: str, count: int, tmp_path: Path
) -> None:
    limits = Limits(model="tiny", tokenizer="o200k_base", tokens=40)
    rows = [*pairs(3), {"prompt": "Tell me more", "completion": "A sentence of words. " * 30}]
    path = write_lines(tmp_path / "a.jsonl", rows)
    prepared = prepare(path, limits=limits, answers={"too-long": way})
    assert len(prepared.rows) == count
    counted = load_tokenizer("o200k_base").count
    if way != "keep":  # the separator, the ending and the space come on top
        assert all(counted(prompt) + counted(answer) <= 44 for prompt, answer in prepared.pairs)


def test_a_long_answer_is_split_into_parts_that_say_all_of_it(tmp_path: Path) -> None:
    limits = Limits(model="tiny", tokenizer="o200k_base", tokens=60)
    text = " ".join(f"This is sentence {number}." for number in range(60))
    rows = [{"prompt": "", "completion": text}, {"prompt": "", "completion": "Short."}]
    prepared = prepare(
        write_lines(tmp_path / "a.jsonl", rows),
        limits=limits,
        answers={"too-long": "split", "space": "no"},
    )
    assert len(prepared.rows) > 5
    assert "".join(completion for _, completion in prepared.pairs[:-1]) == text


def test_what_was_prepared_before_is_not_overwritten(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", pairs(3))
    prepare(path)
    first = (tmp_path / "a_prepared.jsonl").read_bytes()
    prepare(path, answers={"space": "no"})
    assert (tmp_path / "a_prepared.jsonl").read_bytes() == first
    assert (tmp_path / "a_prepared (1).jsonl").exists()


def test_prepared_data_has_nothing_left_to_prepare(tmp_path: Path) -> None:
    prepare(write_lines(tmp_path / "a.jsonl", pairs(12)))
    again = prepare(tmp_path / "a_prepared.jsonl")
    assert not again.plan.changes_anything
    assert LIMITS.tokens > 0


texts = st.lists(st.text(alphabet="ab \n.->", max_size=8), min_size=1, max_size=30)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts, st.integers(1, 7))
def test_affixes_found_in_batches_are_those_of_all_texts(some: list[str], size: int) -> None:
    whole, parts = Affix(marks=("\n", " ->")), Affix(marks=("\n", " ->"))
    whole.add(some)
    for start in range(0, len(some), size):
        parts.add(some[start : start + size])
    assert whole == parts
    assert all(text.startswith(whole.prefix) and text.endswith(whole.suffix) for text in some)
    longer = {text[: len(whole.prefix) + 1] for text in some}
    assert len(longer) > 1 or min(map(len, some)) == len(whole.prefix)
    assert ("\n" in whole.contained) == any("\n" in text for text in some)
