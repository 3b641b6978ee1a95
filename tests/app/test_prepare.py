"""`nod prepare` as one types it."""

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.command_line import app
from finetune.prepare.recipes import RECIPES
from store import Database
from tests.finetune.test_speed import add_run

ROWS = "prompt,completion\nDo you deliver?,Yes we do\nIs it soft,It is firm.\nDo you deliver?,No\n"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOD_HOME", str(tmp_path / "nod"))
    monkeypatch.setenv("COLUMNS", "200")


def nod(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["prepare", *arguments], input=stdin)


def _rows(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in Path(name).read_text("utf-8").splitlines()]


def test_all_is_accepted_quietly_and_the_report_names_tokens_costs_and_conflicts() -> None:
    Path("faq.csv").write_text(ROWS, "utf-8")
    result = nod("-q", "faq.csv")
    assert result.exit_code == 0, result.output
    assert "Your format `CSV` will be converted to `JSONL`" in result.output
    assert "1 prompts have different completions, 2 rows in all (keep)" in result.output
    assert "Counted with o200k_base" in result.output
    assert "gpt-4o-mini" in result.output
    assert "Wrote 3 examples" in result.output
    assert _rows("faq_prepared.jsonl")[0] == {
        "prompt": "Do you deliver? ->",
        "completion": " Yes we do\n",
    }


def test_a_dry_run_reports_and_writes_nothing() -> None:
    Path("faq.csv").write_text(ROWS, "utf-8")
    result = nod("--dry-run", "faq.csv")
    assert "Add a suffix separator" in result.output
    assert "nothing was written" in result.output
    assert [path.name for path in Path().iterdir()] == ["faq.csv"]


def test_each_question_shows_what_it_would_do_and_takes_the_answer() -> None:
    Path("faq.csv").write_text(ROWS, "utf-8")
    result = nod("faq.csv", stdin="first\ny\nn\ny\n")
    assert result.exit_code == 0, result.output
    assert "'Do you deliver?' -> 'No'" in result.output
    assert "'Do you deliver?' => 'Do you deliver? ->'" in result.output
    assert _rows("faq_prepared.jsonl") == [
        {"prompt": "Do you deliver? ->", "completion": " Yes we do"},
        {"prompt": "Is it soft ->", "completion": " It is firm."},
    ]


def test_where_nobody_answers_nothing_is_written() -> None:
    Path("faq.csv").write_text(ROWS, "utf-8")
    result = nod("faq.csv", stdin="")
    assert result.exit_code == 1
    assert "-q accepts all remedies" in " ".join(result.output.split())
    assert [path.name for path in Path().iterdir()] == ["faq.csv"]


def test_chat_form_has_messages_and_no_separators() -> None:
    Path("faq.csv").write_text(ROWS, "utf-8")
    assert nod("-q", "--form", "chat", "faq.csv").exit_code == 0
    assert _rows("faq_prepared.jsonl")[1] == {
        "messages": [
            {"role": "user", "content": "Is it soft"},
            {"role": "assistant", "content": "It is firm."},
        ]
    }


def test_what_is_ready_is_not_written_again() -> None:
    ready = [{"prompt": f"Is it {n} ->", "completion": f" {n} is it\n"} for n in "abc"]
    Path("a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ready), "utf-8")
    assert "Nothing to mend" in nod("-q", "a.jsonl").output
    assert not Path("a_prepared.jsonl").exists()


def test_rows_that_are_left_out_are_named_and_written_where_one_wants() -> None:
    Path("a.csv").write_text(ROWS + "only one cell\n", "utf-8")
    result = nod("-q", "a.csv", "--complaints", "bad.txt")
    assert "a.csv, line 5: has 1 cells" in result.output
    assert "line 5" in Path("bad.txt").read_text("utf-8")


def test_a_model_that_the_price_table_does_not_know_needs_a_limit() -> None:
    Path("a.csv").write_text(ROWS, "utf-8")
    result = nod("-q", "a.csv", "--model", "llama-9")
    assert result.exit_code == 1
    assert "--max-tokens" in result.output
    assert nod("-q", "a.csv", "--model", "llama-9", "--max-tokens", "4096").exit_code == 0


def test_an_own_price_table_in_the_data_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "nod").mkdir()
    (tmp_path / "nod" / "prices.toml").write_text(
        '[[model]]\nname="mine"\nprovider="Here"\nprice=1000000.0\ntokens=99\n'
        'tokenizer="cl100k_base"\nas_of="2026-11-24"\n',
        "utf-8",
    )
    Path("a.csv").write_text(ROWS, "utf-8")
    result = nod("--dry-run", "a.csv", "--model", "mine")
    assert "Counted with cl100k_base" in result.output
    assert "mine" in result.output
    assert "gpt-4o-mini" not in result.output


def test_the_price_table_is_written_for_its_owner_to_edit_and_never_over_his_own(
    tmp_path: Path,
) -> None:
    assert nod("--write-prices").exit_code == 0
    table = tmp_path / "nod" / "prices.toml"
    table.write_text(table.read_text("utf-8").replace("gpt-4o-mini", "gpt-9"), "utf-8")
    Path("a.csv").write_text(ROWS, "utf-8")
    assert "gpt-9" in nod("--dry-run", "a.csv").output
    assert nod("--write-prices").exit_code == 1
    assert "gpt-9" in table.read_text("utf-8")


def test_time_here_is_reckoned_with_the_speed_of_the_last_run_here(tmp_path: Path) -> None:
    base = "smollm2-135m-instruct"
    Path("a.csv").write_text(ROWS, "utf-8")
    before = nod("--dry-run", "a.csv").output
    assert f"Time for {base}: 230 tokens a second, from the price table; no run here" in before
    assert not (tmp_path / "nod" / "nod.db").exists()

    async def train() -> None:
        database = Database(f"sqlite+aiosqlite:///{tmp_path / 'nod' / 'nod.db'}")
        await add_run(database, [(0, 100), (100, 41_100)], base=base)
        await database.close()

    assert CliRunner().invoke(app, ["runs"]).exit_code == 0  # which makes the database
    asyncio.run(train())
    after = nod("--dry-run", "a.csv").output
    assert f"Time for {base}: 410 tokens a second, from run 1." in after


@pytest.mark.parametrize("name", RECIPES)
def test_the_sample_of_each_recipe_can_be_prepared_in_both_forms(name: str) -> None:
    assert nod("--sample", name).exit_code == 0
    sample = RECIPES[name].sample
    for form in ("auto", "chat"):
        result = nod("-q", "--recipe", name, "--form", form, sample, "-o", f"{form}.jsonl")
        assert result.exit_code == 0, result.output
        assert "left out:" not in result.output
        assert list(Path().glob(f"{form}*.jsonl"))
    assert nod("--sample", name).exit_code == 1  # and nothing is overwritten


def test_the_recipes_are_listed() -> None:
    said = nod("--list-recipes").output
    assert all(name in said for name in RECIPES)


def test_an_exported_chat_goes_to_review_with_its_thread_and_only_once(tmp_path: Path) -> None:
    messages = [
        {"id": 1, "type": "message", "from": "Ann", "from_id": "user1", "text": "Is it soft?"},
        {"id": 2, "type": "message", "from": "Bo", "from_id": "user2", "text": "The 18 cm one is.",
         "reply_to_message_id": 1},
        {"id": 3, "type": "message", "from": "Ann", "from_id": "user1", "text": "And the price?",
         "reply_to_message_id": 2},
        {"id": 4, "type": "message", "from": "Bo", "from_id": "user2", "text": "It is 300.",
         "reply_to_message_id": 3},
    ]  # fmt: skip
    export = {"name": "Shop", "type": "private_group", "id": 9, "messages": messages}
    Path("result.json").write_text(json.dumps(export, indent=1), "utf-8")
    assert "--to-review" in " ".join(nod("-q", "result.json").output.split())
    assert "nothing was put into the queue" in nod("--to-review", "--dry-run", "result.json").output
    result = nod("--to-review", "result.json", stdin="y\n")
    assert "2 pairs wait for review" in result.output, result.output
    assert (
        "0 pairs wait for review, 2 were there already"
        in nod("--to-review", "-q", "result.json").output
    )
    with sqlite3.connect(tmp_path / "nod" / "nod.db") as connection:
        rows = connection.execute(
            "select reply.text, reply.status, reason, turn.seq from reply join turn "
            "on turn.id = turn_id order by reply.text"
        ).fetchall()
    assert [(text, status, seq) for text, status, _, seq in rows] == [
        ("It is 300.", "imported", 3),
        ("The 18 cm one is.", "imported", 1),
    ]
    assert "from result.json: Shop, lines" in rows[0][2]


def test_rows_of_any_file_can_go_to_review_or_into_a_file_of_pairs() -> None:
    Path("a.csv").write_text(ROWS, "utf-8")
    assert "Wrote 3 pairs" in nod("--to-review", "a.csv", "-o", "pairs.jsonl").output
    assert _rows("pairs.jsonl")[0] == {"question": "Do you deliver?", "answer": "Yes we do"}
    assert "3 pairs wait for review" in nod("--to-review", "-q", "a.csv").output
