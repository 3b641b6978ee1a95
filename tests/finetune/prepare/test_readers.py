"""Readers: every format, every encoding, and what is wrong in a file stays in its row."""

import csv
import io
import json
import zipfile
from pathlib import Path

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune.prepare.batch import Batch
from finetune.prepare.complaints import Complaints
from finetune.prepare.errors import NothingPreparedError, PrepareError
from finetune.prepare.options import ReadOptions
from finetune.prepare.readers.json_items import read_items
from finetune.prepare.reading import files_below, read_files
from finetune.prepare.source import MAX_ROW_BYTES, open_source
from tests.finetune.prepare.preparing import pairs, prepare, write_lines

ROWS = [("怎么申请退款？", "在订单页点击申请退款"), ("发票什么时候开", "收货后二十四小时内"),
        ("Where is it?", "In the van")]  # fmt: skip

TRADITIONAL = "prompt,completion\n訂單在哪裡,在路上\n運費多少,十元\n"


def read(*paths: Path, **options: object) -> tuple[list[tuple[str, str]], str]:
    """Prompts with completions, and all complaints."""
    reading = read_files(paths, ReadOptions(**options), folder=paths[0].parent)  # type: ignore[arg-type]
    try:
        found = [pair for batch in reading.spill for pair in _zip(batch)]
        return found, "\n".join(map(str, reading.complaints.kept))
    finally:
        reading.close()


def _zip(batch: Batch) -> list[tuple[str, str]]:
    return list(zip(batch.prompts, batch.completions, strict=True))


def _table(delimiter: str = ",") -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([("prompt", "completion"), *ROWS])
    return out.getvalue()


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "big5"],
)
def test_a_table_is_read_in_any_encoding(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    text = _table() if encoding != "big5" else TRADITIONAL
    path.write_bytes(text.encode(encoding))
    found, said = read(path)
    assert said == ""
    assert found[0] == (("訂單在哪裡", "在路上") if encoding == "big5" else ROWS[0])


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a"])
def test_the_delimiter_is_found_whatever_the_name(
    delimiter: str, name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(_table(delimiter), "utf-8")
    assert read(path) == (ROWS, "")


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = [{"prompt": asked, "completion": answered} for asked, answered in ROWS]
    write_lines(path, lines)
    assert read(path) == (ROWS, "")
    path.write_text(json.dumps(lines, indent=1), "utf-8")
    assert read(path) == (ROWS, "")
    book = openpyxl.Workbook()
    for row in [("prompt", "completion"), *ROWS]:
        book.active.append(row)
    book.save(tmp_path / "b.xlsx")
    path.write_bytes((tmp_path / "b.xlsx").read_bytes())
    assert read(path) == (ROWS, "")


def test_columns_with_other_names_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,问题,答案\n1,在吗,在的\n", "utf-8")
    assert read(path)[0] == [("在吗", "在的")]
    path.write_text("left,right\na,b\n", "utf-8")
    found, said = read(path)
    assert found == []
    assert "it has left, right. --prompt-column and --completion-column say" in said
    assert read(path, prompt_column="left", completion_column="right")[0] == [("a", "b")]


def test_a_ragged_row_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prompt,completion\na,b\nc\nd,e,f\ng,h,,\n\ni,j\n", "utf-8")
    found, said = read(path)
    assert found == [("a", "b"), ("g", "h"), ("i", "j")]
    assert "a.csv, line 3: has 1 cells" in said
    assert "a.csv, line 4: has 3 cells" in said


def test_a_cell_may_hold_lines_and_an_open_quotation_mark_costs_one_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    good = "".join(f"q{n},a{n}\n" for n in range(20))
    path.write_text(f'prompt,completion\n"two\nlines",yes\nbad,"never closed\n{good}', "utf-8")
    found, said = read(path)
    assert found[0] == ("two\nlines", "yes")
    assert found[1:] == [(f"q{n}", f"a{n}") for n in range(20)]
    assert "line 4: cannot be read" in said


def test_bytes_that_are_no_text_cost_their_row_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(
        "prompt,completion\n在吗,在的\nbad,\n好,好的\n".encode().replace(b"bad,", b"bad,\xff\xfe")
    )
    found, said = read(path)
    assert found == [("在吗", "在的"), ("好", "好的")]
    assert "line 3: has bytes that are not text" in said
    gbk = "".join(f"问题{n}号,答案是第{n}个\n" for n in range(50)).encode("gb18030")
    path.write_bytes("问题,答案\n".encode("gb18030") + gbk + b"bad,\xff\xff\n" + gbk)
    found, said = read(path)
    assert len(found) == 100
    assert "line 52: has bytes that are not text" in said


def test_a_broken_line_of_jsonl_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [json.dumps(row) for row in pairs(5)]
    lines[1:1] = ['{"prompt": "x", "comp', "[1, 2]", "", '"text"', "12"]
    path.write_text("\n".join(lines), "utf-8")
    found, said = read(path)
    assert len(found) == 5
    assert "a.jsonl, line 2: is not JSON" in said
    assert "line 3: is a list, not an object" in said
    assert "line 5: is a text" in said
    assert "line 6: is a number" in said


@pytest.mark.parametrize("indent", [None, 2])
def test_broken_json_is_named_and_the_rest_goes_on(indent: int | None, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    rows = [{"prompt": f"q{n}", "completion": f"a{n}", "more": [{"x": 1}]} for n in range(6)]
    text = json.dumps(rows, indent=indent).replace('"q2"', 'q2"').replace('"a4"', '"a4" oops')
    path.write_text(text, "utf-8")
    found, said = read(path)
    assert [asked for asked, _ in found] == ["q0", "q1", "q3", "q5"]
    assert said.count("is not JSON") == 2
    wrong = 1 + text[: text.index("oops")].count("\n")
    assert f"line {wrong}" in said


def test_json_that_was_cut_off_keeps_what_was_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"prompt": "a", "completion": "b"}] * 3)[:-30], "utf-8")
    found, said = read(path)
    assert len(found) == 2
    assert "is not JSON" in said or "cut off" in said


def test_a_list_under_a_key_and_one_object_alone_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"version": 1, "data": [{"question": "a", "answer": "b"}]}), "utf-8")
    assert read(path)[0] == [("a", "b")]
    path.write_text(json.dumps({"prompt": "a", "completion": "b"}, indent=2), "utf-8")
    assert read(path)[0] == [("a", "b")]


def test_half_a_character_is_reported_and_not_written(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"prompt": "a", "completion": "\\ud800"},{"prompt": "b", "completion": "c"}]')
    found, said = read(path)
    assert found == [("b", "c")]
    assert "has bytes that are not text" in said


def test_a_line_of_ten_megabytes_is_reported_and_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    long = json.dumps({"prompt": "x", "completion": "y" * 10_000_000})
    rows = [json.dumps(row) for row in pairs(2)]
    path.write_text("\n".join([rows[0], long, rows[1]]), "utf-8")
    found, said = read(path)
    assert len(found) == 2
    assert f"line 2: is longer than {MAX_ROW_BYTES >> 20} MB" in said
    path.write_text(f"[{rows[0]},{long},{rows[1]}]", "utf-8")
    found, said = read(path)
    assert len(found) == 2
    assert "is longer than 8 MB" in said


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b" \n\n ", "is empty"),
        (b"\x00\x01\x02\x03" * 50 + b"\xff", "binary"),
        (b"%PDF-1.4", "a PDF"),
        (b"\xd0\xcf\x11\xe0" + b"x" * 90, "save it as .xlsx"),
        (b"\x1f\x8b" + b"x" * 90, "unpack it first"),
        (b"PK\x03\x04" + b"x" * 90, "no sound .xlsx"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_the_others_go_on(
    data: bytes, reason: str, tmp_path: Path
) -> None:
    good = write_lines(tmp_path / "good.jsonl", pairs(3))
    bad = tmp_path / "bad.dat"
    bad.write_bytes(data)
    found, said = read(bad, good, tmp_path / "missing.csv")
    assert len(found) == 3
    assert reason in said
    assert "missing.csv: cannot be opened: No such file" in said
    with pytest.raises(NothingPreparedError, match="bad"):
        prepare(bad)


def _book(path: Path, **sheets: list[tuple[object, ...]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_a_sheet_is_chosen_by_name_and_number(tmp_path: Path) -> None:
    head = ("prompt", "completion")
    path = _book(tmp_path / "a.xlsx", one=[head, ("a", 1)], two=[head, ("b", 2.5), ("c", "d")])
    assert read(path)[0] == [("a", "1")]
    assert read(path, sheet="two")[0] == [("b", "2.5"), ("c", "d")]
    assert read(path, sheet="2")[0] == [("b", "2.5"), ("c", "d")]
    assert "there is no sheet three; there are 1 one, 2 two" in read(path, sheet="three")[1]


def test_a_formula_without_a_value_is_reported_with_its_row(tmp_path: Path) -> None:
    rows = [("prompt", "completion"), ("a", "b"), ("sum", "=1+1"), ("c", None), ("d", "e")]
    found, said = read(_book(tmp_path / "a.xlsx", one=rows))
    assert found == [("a", "b"), ("c", ""), ("d", "e")]
    assert "row 3: has a formula without a value" in said


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = _book(tmp_path / "a.xlsx", one=[("prompt", "completion"), ("a", "b")])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet9.xml", b"0" * (64 << 20))
    found, said = read(path)
    assert found == []
    assert "unpacks to" in said


def test_a_row_numbered_beyond_all_sheets_is_refused_soon(tmp_path: Path) -> None:
    sound = _book(tmp_path / "a.xlsx", one=[("prompt", "completion"), ("a", "b")])
    far = tmp_path / "far.xlsx"
    with zipfile.ZipFile(sound) as old, zipfile.ZipFile(far, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data.replace(b'<row r="2"', b'<row r="99999999999"'))
    found, said = read(far, sound)
    assert found == [("a", "b")]
    assert "far.xlsx: the sheet 'one' has a row beyond 1,048,576" in said


@pytest.mark.parametrize("part", ["xl/worksheets/sheet1.xml", "xl/workbook.xml", "xl/styles.xml"])
def test_a_workbook_with_a_part_cut_off_is_refused_and_the_others_are_read(
    tmp_path: Path, part: str
) -> None:
    sound = _book(tmp_path / "a.xlsx", one=[("prompt", "completion"), ("a", "b")])
    damaged = tmp_path / "damaged.xlsx"
    with zipfile.ZipFile(sound) as old, zipfile.ZipFile(damaged, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data[: len(data) // 2] if name == part else data)
    found, said = read(damaged, sound)
    assert ("a", "b") in found
    assert "damaged.xlsx: this is no sound .xlsx" in said


def test_markdown_becomes_sections_under_title_and_headings(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.md").write_text(
        "---\ntitle: Delivery\n---\nIn general.\n\n# Times\n\nThree days.\n\n```\ncode()\n```\n\n"
        "## Saturday\n\n- till noon\n\n  ```\n  more\n  ```\n\n# Empty\n",
        "utf-8",
    )
    (folder / "deep" / "b.markdown").write_text("# Only *this*\n\ntext\n", "utf-8")
    (folder / "c.png").write_bytes(b"\x89PNG")
    found = dict(read(folder)[0])
    assert found["Delivery"] == "In general."
    assert found["Delivery > Times"] == "Three days.\n\n```\ncode()\n```"
    assert found["Delivery > Times > Saturday"].startswith("- till noon")
    assert found["Only this"] == "text"
    assert "Delivery > Empty" not in found
    bare = dict(read(folder, code="drop")[0])
    assert bare["Delivery > Times"] == "Three days."
    assert "more" not in bare["Delivery > Times > Saturday"]
    assert len(list(files_below([folder]))) == 2


ANSWER = {"role": "assistant", "content": "b"}
PART = {"type": "text", "text": "a"}
CHATS = {
    "messages": {"messages": [{"role": "user", "content": "a"}, ANSWER]},
    "parts": {"messages": [{"role": "user", "content": [PART]}, ANSWER]},
    "sharegpt": {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
    "alpaca": {"instruction": "a", "input": "", "output": "b"},
}  # fmt: skip


@pytest.mark.parametrize("name", CHATS)
def test_conversations_become_messages(name: str, tmp_path: Path) -> None:
    prepared = prepare(write_lines(tmp_path / "a.jsonl", [CHATS[name]]))
    assert prepared.rows == [CHATS["messages"]]


def test_alpaca_keeps_its_input_system_and_history(tmp_path: Path) -> None:
    row = {"instruction": "Sum up", "input": "a b", "output": "c", "system": "Be short",
           "history": [["Hi", "Hello"]]}  # fmt: skip
    [line] = prepare(write_lines(tmp_path / "a.json", [row])).rows
    assert [each["content"] for each in line["messages"]] == [
        "Be short", "Hi", "Hello", "Sum up\n\na b", "c",
    ]  # fmt: skip


def test_empty_turns_and_turns_after_the_last_answer_go(tmp_path: Path) -> None:
    said = [("user", "a"), ("assistant", " "), ("user", "b"), ("assistant", "c"), ("user", "bye")]
    row = {"messages": [{"role": role, "content": text} for role, text in said]}
    lonely = {"messages": [{"role": "user", "content": "hello?"}]}
    prepared = prepare(write_lines(tmp_path / "a.jsonl", [row, lonely]))
    assert [each["content"] for each in prepared.rows[0]["messages"]] == ["a", "b", "c"]
    assert prepared.reading.shaper.mended == {"empty turns": 1, "turns after the last answer": 1}
    assert "line 2: is one-sided: nobody answers" in prepared.said


def test_both_forms_of_preferences_become_one(tmp_path: Path) -> None:
    wire = {
        "input": {"messages": [{"role": "user", "content": "a"}]},
        "preferred_output": [{"role": "assistant", "content": "good"}],
        "non_preferred_output": [{"role": "assistant", "content": "bad"}],
    }
    plain = {"prompt": "a", "chosen": "good", "rejected": "bad"}
    asked = [{"role": "user", "content": "a"}]
    whole = {
        "chosen": [*asked, {"role": "assistant", "content": "good"}],
        "rejected": [*asked, {"role": "assistant", "content": "bad"}],
    }
    for row in (wire, plain, whole):
        assert prepare(write_lines(tmp_path / "a.jsonl", [row])).rows == [wire]
    same = {"prompt": "a", "chosen": "good", "rejected": "good"}
    assert (
        "the same answer as chosen and as rejected"
        in prepare(write_lines(tmp_path / "a.jsonl", [wire, same])).said
    )


def test_mixed_rows_are_turned_into_one_kind_or_named(tmp_path: Path) -> None:
    long = {"messages": CHATS["messages"]["messages"] * 2}
    rows = [*pairs(2), CHATS["sharegpt"], long, {"foo": 1}]
    found, said = read(write_lines(tmp_path / "a.jsonl", rows))
    assert found[2] == ("a", "b")
    assert len(found) == 3
    assert "line 4: is a conversation of several turns among pairs; use --form chat" in said
    assert "line 5: has no prompt and completion; it has foo" in said
    assert len(read(tmp_path / "a.jsonl", form="chat")[0]) == 4
    flat = read(write_lines(tmp_path / "b.jsonl", [long]), form="prompt")[0]
    assert flat == [("Customer: a\nAgent: b\nCustomer: a\nAgent:", "b")]


def test_several_files_are_one_dataset_and_rows_are_named_by_file(tmp_path: Path) -> None:
    one = write_lines(tmp_path / "one.jsonl", pairs(3))
    two = write_lines(tmp_path / "two.jsonl", pairs(1))
    prepared = prepare(one, two)
    remedy = next(each for each, _ in prepared.plan.decided if each.name == "duplicates")
    assert "Two.jsonl, line 1" in remedy.why


def test_an_interrupted_reading_leaves_nothing_behind(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", pairs(3))

    def stop(_count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_files([path], ReadOptions(), folder=tmp_path, on_bytes=stop)
    assert [each.name for each in tmp_path.iterdir()] == ["a.jsonl"]


def test_an_unknown_recipe_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(PrepareError, match="there are question-answering, negative"):
        read(write_lines(tmp_path / "a.jsonl", pairs(3)), recipe="poem")


KEYS = st.text(max_size=5)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.lists(st.dictionaries(st.text(max_size=5), values, max_size=4), max_size=6),
       st.sampled_from([None, 1, "\t"]))  # fmt: skip
def test_any_list_of_objects_is_read_as_the_json_module_reads_it(
    tmp_path: Path, rows: list[dict[str, object]], indent: int | str | None
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=False), "utf-8")
    complaints = Complaints()
    found = [item for _, item in read_items(open_source(path), complaints)]
    assert found == rows
    assert complaints.count == 0


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=12), st.text(max_size=12)), min_size=1, max_size=8
    )
)
def test_any_table_comes_back_as_it_was_written(
    tmp_path: Path, rows: list[tuple[str, str]]
) -> None:
    clean = [tuple(cell.replace("\0", "").replace("\r", "") for cell in row) for row in rows]
    path = tmp_path / "a.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("prompt", "completion"), *clean])
    found, said = read(path)
    assert found == [row for row in clean if any(row)]
    assert said == ""


@settings(deadline=None, max_examples=80, suppress_health_check=list(HealthCheck))
@given(
    st.binary(max_size=400),
    st.sampled_from(["a.csv", "a.json", "a.jsonl", "a.txt", "a.md", "a.xlsx"]),
)
def test_no_bytes_crash_a_reader(tmp_path: Path, data: bytes, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data)
    found, said = read(path)
    assert not data.strip() <= b"" or (not found and "is empty" in said)
