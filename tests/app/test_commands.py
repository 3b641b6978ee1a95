"""The `nod` command, as far as it needs neither model nor index."""

import json
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.command_line import app

PAIRS = [
    {
        "question": "Do you deliver?",
        "answer": "Yes, within three days.",
        "phrasings": ["Shipping?"],
    },
    {"question": "Is it soft?", "answer": "It is firm.", "id": "soft-1", "draft": "Very soft."},
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOD_HOME", str(tmp_path / "nod"))
    monkeypatch.setenv("NOD_MODEL_ENGINE", "stub")
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "nod"


def nod(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=stdin)


def _query(home: Path, statement: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(home / "nod.db") as connection:
        return connection.execute(statement).fetchall()


def test_help_names_every_command_and_shows_examples() -> None:
    said = nod("--help").output
    for name in ("up", "chat", "ingest", "import", "retrain", "demo", "doctor", "users", "models"):
        assert f" {name} " in said
    assert "nod ingest docs/ faq.csv" in said
    assert "nod schedule" in nod("schedule", "--help").output


def test_the_version_is_shown() -> None:
    assert nod("--version").output.startswith("nod 0.")


def test_a_wrong_setting_is_named_in_one_line_with_exit_code_2(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOD_PORT", "eighty")
    result = nod("mode")
    assert result.exit_code == 2
    assert "NOD_PORT='eighty'" in result.output
    assert "Traceback" not in result.output


def test_a_database_that_is_away_is_told_with_the_way_out_and_no_traceback(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOD_DATABASE_URL", "postgresql+psycopg://nobody:hunter2@127.0.0.1:9/none")
    result = nod("mode")
    assert result.exit_code == 1
    assert "Connection refused. Start it, or correct NOD_DATABASE_URL" in result.output
    assert "Traceback" not in result.output
    assert "hunter2" not in result.output


def test_a_switch_is_shown_set_and_logged_with_who(home: Path) -> None:
    assert nod("mode").output == "auto\n"
    assert nod("policy", "hold_unsure").output == "policy: send -> hold_unsure\n"
    [(who, detail)] = _query(home, "select who, detail from audit_entry")
    assert str(who).endswith("(terminal)")
    assert json.loads(str(detail)) == {"key": "policy", "from": "send", "to": "hold_unsure"}


def test_an_unknown_mode_is_refused_with_those_that_exist(home: Path) -> None:
    result = nod("mode", "psychic")
    assert result.exit_code == 1
    assert "base, retrieval, tuned, hybrid, auto" in result.output


def test_a_schedule_that_cron_would_not_know_is_refused(home: Path) -> None:
    assert "every 50 new examples" in nod("schedule", "0 4 * * *", "--at-least", "50").output
    said = nod("schedule", "--clock-needs", "7").output
    assert "by the clock (UTC): 0 4 * * *, with 7 or more new examples" in said
    result = nod("schedule", "99 4 * * *")
    assert result.exit_code == 1
    assert "cron" in result.output
    assert "0 4 * * *" in nod("schedule").output
    assert "never" in nod("schedule", "").output


def test_users_are_made_changed_and_shut_out(home: Path) -> None:
    assert nod("users", "add", "ada", "--role", "owner", stdin="correct horse\n").exit_code == 0
    assert nod("users", "add", "bob", stdin="correct horse\n").exit_code == 0
    assert nod("users", "set-role", "bob", "operator").exit_code == 0
    assert nod("users", "link-telegram", "bob", "4242").exit_code == 0
    assert nod("users", "disable", "bob").exit_code == 0
    shown = nod("users", "list").output
    assert "operator" in shown
    assert "4242" in shown
    assert "disabled" in shown
    last = nod("users", "disable", "ada")
    assert last.exit_code == 1
    assert "last owner" in last.output
    assert "no user 'eve'" in nod("users", "passwd", "eve", stdin="short\n").output


def test_pairs_are_imported_once_into_the_review_queue(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, PAIRS)) + "\n")
    assert nod("import", str(path)).output.startswith("2 pairs wait for review")
    assert "2 were there already" in nod("import", str(path)).output
    rows = _query(home, "select text, phrasings, status, needs_review from reply order by id")
    assert [(text, json.loads(str(ways)), *rest) for text, ways, *rest in rows] == [
        ("Yes, within three days.", ["Shipping?"], "imported", 1),
        ("Very soft.", [], "imported", 1),
    ]


def test_one_imported_pair_is_not_called_pairs(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(PAIRS[0]))
    assert nod("import", str(path)).output.startswith("1 pair waits for review;")
    assert ", 1 was there already;" in nod("import", str(path)).output


def test_a_bad_line_of_pairs_is_named_and_nothing_is_imported(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(PAIRS[0]) + '\n{"question": "Why?"}\n')
    result = nod("import", str(path))
    assert result.exit_code == 1
    assert "line 2: answer: Field required" in result.output
    assert nod("mode").exit_code == 0
    assert _query(home, "select count(*) from reply") == [(0,)]


def test_a_csv_in_another_encoding_is_imported(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    rows = "问题多多的床垫送货吗？我们想知道送货的时间,周六上午送货，山区需要九天时间。\n"
    path.write_bytes(f"Question,Answer\n{rows}".encode("gb18030"))
    assert nod("import", str(path)).exit_code == 0
    [(answer,)] = _query(home, "select text from reply")
    assert answer == "周六上午送货，山区需要九天时间。"


def test_a_csv_without_the_columns_is_refused(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("q,a\nx,y\n")
    assert "no column answer and no column question" in nod("import", str(path)).output


def test_nothing_yet_is_said_in_words(home: Path) -> None:
    assert "No run yet" in nod("runs").output
    assert "No tuned model yet" in nod("models", "list").output
    assert "No dataset yet" in nod("dataset", "list").output
    assert "nothing to roll back" in nod("models", "rollback").output
    assert "no model version 7" in nod("models", "promote", "7").output
    assert "smollm2-135m-instruct (base)" in nod("status").output


def test_of_several_processes_the_status_names_the_scheduler_that_works(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOD_MODEL_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("NOD_CHROMA_URL", "http://127.0.0.1:9")
    assert "no scheduler" in nod("status").output
    with sqlite3.connect(home / "nod.db") as connection:
        lease = ("scheduler", "shop-2:4711:1a2b3c4d", "2999-01-01 00:00:00")
        connection.execute("insert into lease (name, holder, expires_at) values (?, ?, ?)", lease)
    assert "a scheduler on shop-2, process 4711" in nod("status").output


def test_no_runs_at_all_are_not_asked_for(home: Path) -> None:
    assert nod("runs", "-n", "0").exit_code == 2


def test_a_database_of_a_newer_version_is_left_alone(home: Path) -> None:
    assert nod("mode").exit_code == 0
    with sqlite3.connect(home / "nod.db") as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    result = nod("mode", "base")
    assert result.exit_code == 1
    assert "newer" in result.output


def test_a_backup_holds_the_database_as_it_is_and_overwrites_nothing(
    home: Path, tmp_path: Path
) -> None:
    nod("policy", "hold")
    path = tmp_path / "nod.tar.gz"
    assert nod("backup", str(path)).exit_code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as archive:
        archive.extract("nod.db", tmp_path / "restored", filter="data")
    assert _query(tmp_path / "restored", "select value from setting") == [('"hold"',)]
    assert "exists already" in nod("backup", str(path)).output


@pytest.mark.parametrize("command", [("backup",), ("dataset", "export", "1", "--to")])
def test_a_place_that_cannot_be_written_is_named_with_the_way_out(
    home: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    nod("mode")
    with closing(sqlite3.connect(home / "nod.db")) as connection, connection:
        connection.execute(
            "insert into dataset"
            " (version, sha256, recipe, train_count, holdout_count, report, created_at)"
            " values (1, 'x', '{}', 0, 0, '{}', '2026-01-01')"
        )
    (tmp_path / "file").touch()
    result = nod(*command, str(tmp_path / "file" / "out"))
    assert result.exit_code == 1
    assert f"{tmp_path}/file" in result.output
    assert "give another path" in result.output
    assert "Error" not in result.output


def test_a_backup_is_its_owners_alone_from_the_first_byte_on(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nod("mode")
    seen: list[int] = []
    add = tarfile.TarFile.add

    def look(self: tarfile.TarFile, *arguments: object, **more: object) -> None:
        seen.append((tmp_path / ".out.tar.gz.part").stat().st_mode & 0o777)
        add(self, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(tarfile.TarFile, "add", look)
    assert nod("backup", str(tmp_path / "out.tar.gz")).exit_code == 0
    assert set(seen) == {0o600}


def test_a_backup_holds_what_the_model_server_has_just_written(home: Path, tmp_path: Path) -> None:
    nod("policy", "hold")
    (home / "models" / "bases").mkdir(parents=True)
    (home / "models" / "bases" / "large.gguf").write_text("weights")
    (home / "models" / "adapter.gguf").write_text("weights")
    path = tmp_path / "nod.tar.gz"
    with closing(sqlite3.connect(home / "models" / "modelserver.sqlite3")) as rows:
        rows.execute("PRAGMA journal_mode=WAL")
        rows.execute("CREATE TABLE jobs (id TEXT)")
        rows.execute("INSERT INTO jobs VALUES ('ftjob-1')")
        rows.commit()  # to the log beside the file, as long as somebody has it open
        assert nod("backup", str(path)).exit_code == 0
    with tarfile.open(path) as archive:
        names = archive.getnames()
        archive.extract("models/modelserver.sqlite3", tmp_path, filter="data")
    assert sorted(names) == [
        "models",
        "models/adapter.gguf",
        "models/modelserver.sqlite3",
        "nod.db",
    ]
    with closing(sqlite3.connect(tmp_path / "models" / "modelserver.sqlite3")) as restored:
        assert restored.execute("SELECT id FROM jobs").fetchall() == [("ftjob-1",)]


def test_telegram_without_a_token_says_where_to_get_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOD_TELEGRAM_TOKEN", raising=False)
    result = nod("telegram")
    assert result.exit_code == 1
    assert "@BotFather" in result.output


def test_masks_are_made_shown_made_the_default_and_removed(home: Path, tmp_path: Path) -> None:
    shots = tmp_path / "shots.jsonl"
    shots.write_text(json.dumps({"question": "Hi", "answer": "Good day!"}))
    made = nod("masks", "edit", "night", "--prompt", "Be [brief].", "--few-shot", str(shots))
    assert made.output == "night: system_prompt, few_shot changed\n"
    shown = nod("masks", "show", "night").output
    for words in ("Be [brief].", "Hi", "Good day!", "at most 256 tokens"):
        assert words in shown
    assert nod("masks", "default", "night").exit_code == 0
    assert nod("masks", "remove", "default").exit_code == 0
    assert nod("masks", "edit", "night", "--no-few-shot").exit_code == 0
    listed = nod("masks").output
    assert "night" in listed
    assert "Good day" not in nod("masks", "show", "night").output


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read: No such file"), ("雅".encode("gbk"), "save it as UTF-8")],
)
def test_a_prompt_that_cannot_be_read_is_named_in_words(
    home: Path, tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "voice.txt"
    if content is not None:
        path.write_bytes(content)
    result = nod("masks", "edit", "default", "--prompt-file", str(path))
    assert result.exit_code == 1
    assert f"{path} " in result.output
    assert said in result.output
    assert "Errno" not in result.output


def test_a_mask_longer_than_its_budget_is_refused_and_changes_nothing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / "long.txt"
    long.write_text("Be kind. " * 300)
    refused = nod("masks", "edit", "default", "--prompt-file", str(long))
    assert refused.exit_code == 1
    assert "would take 900 tokens" in refused.output
    assert "NOD_MASK_TOKENS" in refused.output
    assert "kind" not in nod("masks", "show", "default").output
    monkeypatch.setenv("NOD_MASK_TOKENS", "900")
    assert nod("masks", "edit", "default", "--prompt-file", str(long)).exit_code == 0
    assert "nothing to change" in nod("masks", "edit", "default").output
