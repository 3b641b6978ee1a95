"""Whatever has befallen a file, reading it gives a document or says what is wrong, soon."""

import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import docx
import openpyxl
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reportlab.pdfgen.canvas import Canvas

from knowledge import Knowledge, UnreadableDocumentError
from knowledge.reading import read_file
from store import Database
from tests.knowledge.test_ingest import texts

Change = Callable[[bytes], bytes]


def excel() -> bytes:
    book, kept = openpyxl.Workbook(), BytesIO()
    sheet = book.active
    assert sheet is not None
    sheet.append(["question", "answer"])
    sheet.append(["Is it firm?", "Medium firm."])
    book.save(kept)
    return kept.getvalue()


def word() -> bytes:
    document, kept = docx.Document(), BytesIO()
    document.add_heading("Delivery", 1)
    document.add_paragraph("Free of charge.")
    document.add_table(rows=1, cols=2).rows[0].cells[0].text = "Norway"
    document.save(kept)
    return kept.getvalue()


def pdf() -> bytes:
    kept = BytesIO()
    canvas = Canvas(kept, pageCompression=1)
    canvas.setTitle("Help")
    canvas.drawString(72, 720, "Delivery is free.")
    canvas.save()
    return kept.getvalue()


PAGE = b"<title>Shop</title><h1>Delivery</h1><p>Free<ul><li>Norway<table><tr><td>90</table></ul>"
SOUND = {
    ".xlsx": excel(),
    ".docx": word(),
    ".pdf": pdf(),
    ".html": PAGE,
    ".md": b"# Delivery\n\nFree.\n\n- Norway\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
    ".csv": b"question,answer\nIs it firm?,Medium firm.\n",
    ".txt": b"Delivery is free.\n\nReturns are too.\n",
}
SHEET = "xl/worksheets/sheet1.xml"
TEXT = "word/document.xml"


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[structlog.typing.EventDict]]:
    """What was logged; shown in full, a thousand tracebacks would take minutes."""
    with structlog.testing.capture_logs() as entries:
        yield entries


def rezip(archive: bytes, name: str, change: Change | None) -> bytes:
    """The archive with one part changed, or without it; the zip itself stays sound."""
    kept = BytesIO()
    with (
        zipfile.ZipFile(BytesIO(archive)) as old,
        zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for part in old.namelist():
            if part != name:
                new.writestr(part, old.read(part))
            elif change is not None:
                new.writestr(part, change(old.read(part)))
    return kept.getvalue()


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def is_read_or_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    said = ""
    try:
        read_file(path)
    except UnreadableDocumentError as error:
        said = str(error)
    assert said.isprintable()  # a parser repeats what it met, and terminals obey some of it


@pytest.mark.parametrize(
    ("suffix", "data"),
    [
        (".xlsx", cut(SOUND[".xlsx"])),
        (".xlsx", rezip(SOUND[".xlsx"], SHEET, cut)),
        (".xlsx", rezip(SOUND[".xlsx"], SHEET, lambda xml: xml.replace(b"<row ", b"<\x01 "))),
        (".xlsx", rezip(SOUND[".xlsx"], SHEET, lambda xml: xml.replace(b'r="A1"', b'r="1A"'))),
        (".xlsx", rezip(SOUND[".xlsx"], "xl/workbook.xml", cut)),
        (".xlsx", rezip(SOUND[".xlsx"], "xl/styles.xml", cut)),
        (".docx", cut(SOUND[".docx"])),
        (".docx", rezip(SOUND[".docx"], TEXT, None)),
        (".docx", rezip(SOUND[".docx"], TEXT, cut)),
        (".docx", rezip(SOUND[".docx"], "[Content_Types].xml", None)),
        (".docx", rezip(SOUND[".docx"], "word/styles.xml", cut)),
        (".pdf", SOUND[".pdf"][:20]),
        (".pdf", SOUND[".pdf"].replace(b"/Pages", b"/Sagep")),
        (".pdf", SOUND[".pdf"].replace(b"/FlateDecode", b"/DlateDecode")),
    ],
)
def test_a_damaged_file_says_so(tmp_path: Path, suffix: str, data: bytes) -> None:
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(data)
    with pytest.raises(UnreadableDocumentError, match=rf"no sound {suffix}.*save it again"):
        read_file(path)


def test_what_the_parser_met_is_logged_at_debug(
    tmp_path: Path, logged: list[structlog.typing.EventDict]
) -> None:
    path = tmp_path / "damaged.xlsx"
    path.write_bytes(rezip(SOUND[".xlsx"], SHEET, cut))
    with pytest.raises(UnreadableDocumentError):
        read_file(path)
    [entry] = logged
    assert (entry["log_level"], entry["path"], entry["exc_info"]) == ("debug", str(path), True)


@pytest.mark.parametrize("suffix", SOUND)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hits=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=4)), min_size=1, max_size=4))
def test_with_any_bytes_overwritten_a_file_is_read_or_refused(
    tmp_path: Path, suffix: str, hits: list[tuple[float, bytes]]
) -> None:
    is_read_or_refused(tmp_path / f"hit{suffix}", overwritten(SOUND[suffix], hits))


@pytest.mark.parametrize(
    ("suffix", "part"),
    [(".xlsx", SHEET), (".xlsx", "xl/styles.xml"), (".xlsx", "xl/workbook.xml"), (".docx", TEXT)],
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hits=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=4)), min_size=1, max_size=4))
def test_with_any_bytes_of_a_part_overwritten_a_file_is_read_or_refused(
    tmp_path: Path, suffix: str, part: str, hits: list[tuple[float, bytes]]
) -> None:
    hit = rezip(SOUND[suffix], part, lambda data: overwritten(data, hits))
    is_read_or_refused(tmp_path / f"hit{suffix}", hit)


def overwritten(data: bytes, hits: list[tuple[float, bytes]]) -> bytes:
    changed = bytearray(data)
    for place, written in hits:
        start = int(place * len(data))
        changed[start : start + len(written)] = written
    return bytes(changed)


def sheet(rows: str, dimension: str = "A1:XFD1048576") -> bytes:
    """A workbook of one sheet, given as XML, with what it says of its own size."""
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    xml = f"""<worksheet xmlns="{space}"><dimension ref="{dimension}"/>
        <sheetData>{rows}</sheetData></worksheet>"""
    return rezip(SOUND[".xlsx"], SHEET, lambda _: xml.encode())


def row(number: int, **cells: str) -> str:
    inside = "".join(
        f'<c r="{column}{number}" t="inlineStr"><is><t>{text}</t></is></c>'
        for column, text in cells.items()
    )
    return f'<row r="{number}">{inside}</row>'


def test_a_cell_in_the_farthest_corner_of_a_sheet_is_read_soon(tmp_path: Path) -> None:
    path = tmp_path / "far.xlsx"
    path.write_bytes(sheet(row(1, A="size", B="price") + row(1_048_576, A="90", XFD="far")))
    [piece] = read_file(path).pieces
    assert piece.text == "size: 90\nfar"


def test_a_sheet_that_calls_itself_smaller_than_it_is_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "lie.xlsx"
    path.write_bytes(sheet(row(1, A="size", B="price") + row(2, A="90", B="300"), "A1"))
    [piece] = read_file(path).pieces
    assert piece.text == "size: 90\nprice: 300"


@pytest.mark.parametrize(
    "rows",
    [row(99_999_999_999, A="far"), "".join(row(each, XFD="wide") for each in range(1, 2_000))],
    ids=["far", "wide"],
)
def test_a_sheet_of_gaps_is_refused(
    tmp_path: Path, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("knowledge.reading.table.MAX_CELLS", 1_000_000)
    path = tmp_path / "gaps.xlsx"
    path.write_bytes(sheet(rows))
    with pytest.raises(UnreadableDocumentError, match=r"'Sheet' is mostly empty.*save .* as .csv"):
        read_file(path)


def test_a_table_that_grows_by_the_names_of_its_columns_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("knowledge.reading.table.MAX_LETTERS", 100_000)
    path = tmp_path / "wordy.csv"
    path.write_text(f"{'name ' * 200_000},price\n" + "90,300\n" * 1_000)
    with pytest.raises(UnreadableDocumentError, match="more than 100,000 letters; split the table"):
        read_file(path)


def test_an_excel_file_that_unpacks_to_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xlsx"
    path.write_bytes(rezip(SOUND[".xlsx"], SHEET, lambda _: b" " * 9_000_000))
    with pytest.raises(UnreadableDocumentError, match=r"unpacks to 9,\d+,\d+ bytes"):
        read_file(path, max_bytes=2_000_000)


@pytest.mark.parametrize(("suffix", "part"), [(".xlsx", SHEET), (".docx", TEXT)])
def test_an_archive_that_lies_about_its_size_is_refused(
    tmp_path: Path, suffix: str, part: str
) -> None:
    size = 9_000_000
    bomb = rezip(SOUND[suffix], part, lambda xml: xml.ljust(size))
    path = tmp_path / f"lie{suffix}"
    path.write_bytes(bomb.replace(size.to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    with pytest.raises(UnreadableDocumentError, match=f"no sound {suffix}"):
        read_file(path, max_bytes=2_000_000)


def test_a_word_table_wider_than_any_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.docx"
    width = b'<w:tcPr><w:gridSpan w:val="100000000"/>'
    path.write_bytes(rezip(SOUND[".docx"], TEXT, lambda xml: xml.replace(b"<w:tcPr>", width)))
    with pytest.raises(UnreadableDocumentError, match="wider than 1,000 columns"):
        read_file(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [("deep.html", "<ul><li>x" * 2_000), ("long.md", f"---\ntitle: a{' ' * 200_000}b\n---\nc")],
)
def test_what_took_for_ever_is_read_or_refused_soon(tmp_path: Path, name: str, text: str) -> None:
    is_read_or_refused(tmp_path / name, text.encode())


async def test_ingest_goes_on_after_a_damaged_file_and_names_it(
    knowledge: Knowledge, tmp_path: Path, database: Database
) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "a.txt").write_text("Delivery is free.")
    (folder / "b.xlsx").write_bytes(rezip(SOUND[".xlsx"], SHEET, cut))
    (folder / "c.txt").write_text("Returns are too.")
    report = await knowledge.ingest([folder])
    assert [path.name for path in report.added] == ["a.txt", "c.txt"]
    assert [path.name for path in report.failed] == ["b.xlsx"]
    assert await texts(database) == ["Delivery is free.", "Returns are too."]
