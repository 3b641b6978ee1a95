"""Every kind of file is read as its author meant it, and bad ones say what is wrong with them."""

import zipfile
from io import BytesIO
from pathlib import Path

import docx
import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter
from reportlab.pdfgen.canvas import Canvas

from knowledge import UnreadableDocumentError
from knowledge.reading import read_file
from knowledge.reading.html import blocks_of_html
from knowledge.reading.markdown import blocks_of_markdown
from knowledge.reading.table import pieces_of_csv
from knowledge.reading.text import decode

CHINESE = "我们的床垫提供十年质保。送货免费，三到五天送达。如果您不满意，一百天内可以退货。"


def pdf(path: Path, *pages: list[str]) -> Path:
    canvas = Canvas(str(path))
    for lines in pages:
        for row, line in enumerate(lines):
            canvas.drawString(72, 720 - 14 * row, line)
        canvas.showPage()
    canvas.save()
    return path


def test_markdown_is_cut_at_its_headings(tmp_path: Path) -> None:
    path = tmp_path / "faq.md"
    path.write_text(
        "---\ntitle: Help\n---\n# Delivery\nFree.\n\n## Abroad\n\n- Norway\n- Chile\n\n"
        "# Prices\n\n| size | price |\n|---|---|\n| 90 | 300 |\n\n```\n# no heading\n```\n\n"
        "# Empty\n",
        encoding="utf-8",
    )
    content = read_file(path)
    assert content.title == "Help"
    assert [(piece.heading, piece.text) for piece in content.pieces] == [
        ("Delivery", "Free."),
        ("Delivery > Abroad", "- Norway\n- Chile"),
        ("Prices", "| size | price |\n|---|---|\n| 90 | 300 |\n\n```\n# no heading\n```"),
        ("", "Empty"),
    ]


@given(
    st.lists(st.sampled_from(["# a", "## b", "text c", "- d", "", "> e", "[f]: /g", "<p>h</p>"]))
)
def test_no_word_of_a_markdown_file_is_lost(lines: list[str]) -> None:
    _, blocks = blocks_of_markdown("\n\n".join(lines))
    found = " ".join(f"{block.heading} {block.text}" for block in blocks)
    for line in lines:
        assert not line or line.strip("#<p>/ ") in found


def test_html_gives_what_a_visitor_reads() -> None:
    title, blocks = blocks_of_html(
        "<title>Shop</title><nav>Home</nav><script>x()</script><div><h2>Delivery</h2>"
        "Free <b>of charge</b>.<br>Always.<ul><li>Norway<ul><li>Oslo</ul><li>Chile</ul>"
        "<!-- hidden --><table><tr><th>size<th>price<tr><td>90<td>300</table></div>"
        "<h2>Contact</h2><footer>Call 123</footer>"
    )
    assert title == "Shop"
    assert [(block.heading, block.text) for block in blocks] == [
        ("Delivery", "Free of charge.\nAlways."),
        ("Delivery", "- Norway\n  - Oslo\n- Chile"),
        ("Delivery", "size | price\n90 | 300"),
        ("Contact", "Call 123"),
    ]


def test_word_gives_headings_lists_and_tables(tmp_path: Path) -> None:
    document = docx.Document()
    document.add_heading("Delivery", 1)
    document.add_paragraph("Free of charge.")
    document.add_paragraph("Norway", style="List Bullet")
    document.add_paragraph("Chile", style="List Bullet")
    document.add_heading("价格", 1)
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(
        [c for r in table.rows for c in r.cells], ["size", "price", "90", "300"], strict=True
    ):
        cell.text = text
    document.core_properties.title = "Help"
    document.save(str(tmp_path / "help.docx"))
    content = read_file(tmp_path / "help.docx")
    assert content.title == "Help"
    assert [(piece.heading, piece.text) for piece in content.pieces] == [
        ("Delivery", "Free of charge.\n\n- Norway\n- Chile"),
        ("价格", "size | price\n90 | 300"),
    ]


def test_pdf_gives_paragraphs_under_their_page(tmp_path: Path) -> None:
    path = pdf(tmp_path / "a.pdf", ["Delivery is free of", "charge in Norway."], ["Ten years."])
    content = read_file(path)
    assert [(piece.heading, piece.text) for piece in content.pieces] == [
        ("page 1", "Delivery is free of charge in Norway."),
        ("page 2", "Ten years."),
    ]


@pytest.mark.parametrize(
    "table",
    [
        'Question,Answer\nIs it firm?,"Yes, it is."\n',
        "id;A;Q\n1;Yes, it is.;Is it firm?\n",
        "prompt\tcompletion\nIs it firm?\tYes, it is.\n",
        '编号,问题,答案\n1,Is it firm?,"Yes, it is."\n',
    ],
)
def test_a_table_of_questions_gives_pairs(table: str) -> None:
    [piece] = pieces_of_csv(table)
    assert (piece.question, piece.text) == ("Is it firm?", "Yes, it is.")


def test_another_table_gives_a_passage_a_row() -> None:
    pieces = pieces_of_csv("model,size,price\nCloud,90,300\n\nStone,160,\n")
    assert [piece.text for piece in pieces] == [
        "model: Cloud\nsize: 90\nprice: 300",
        "model: Stone\nsize: 160",
    ]


def test_excel_gives_pairs_and_numbers_as_they_are_shown(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["问题", "答案"])
    sheet.append(["保修几年？", 10.0])
    book.create_sheet("Prices").append(["only", "a header"])
    book.save(tmp_path / "faq.xlsx")
    first, second = read_file(tmp_path / "faq.xlsx").pieces
    assert (first.question, first.text) == ("保修几年？", "10")
    assert (second.question, second.text, second.heading) == (None, "only | a header", "Prices")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16", "big5"])
def test_chinese_is_read_in_any_usual_encoding(encoding: str) -> None:
    text = (
        CHINESE
        if encoding != "big5"
        else "我們的床墊提供十年保固。送貨免費，三到五天送達。如果您不滿意可以退貨。"
    )
    assert decode(text.encode(encoding)) == text


def test_western_european_text_is_not_taken_for_chinese() -> None:
    text = (
        "Die Matratze ist für Schläfer geeignet, die es gerne weich mögen. Größe: 90 × 200.\n" * 3
    )
    assert decode(text.encode("cp1252")) == text


def test_bad_files_say_what_is_wrong(tmp_path: Path) -> None:
    bomb = BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"0" * 9_000_000)
    writer = PdfWriter(clone_from=PdfReader(pdf(tmp_path / "plain.pdf", ["secret"])))
    writer.encrypt("a password", algorithm="RC4-128")
    locked = BytesIO()
    writer.write(locked)
    bad = {
        "empty.md": (b"", "the file is empty"),
        "blank.txt": (b" \n\n ", "the file is empty"),
        "heading.html": (b"<script>x</script>", "no text in the file"),
        "binary.txt": (b"\x7fELF\x00\x01\x02" * 9, "binary"),
        "odd.txt": (b"\xff\xfe\xff\xff\xdc", "save it as UTF-8|encoding cannot be told"),
        "large.txt": (b"word " * 600_000, "3,000,000 bytes and the limit is 2,000,000"),
        "bomb.docx": (bomb.getvalue(), "unpacks to 9,000,000 bytes"),
        "broken.docx": (b"PK\x03\x04 no zip", "no sound .docx"),
        "broken.xlsx": (b"nothing", "no sound .xlsx"),
        "broken.pdf": (b"%PDF-1.7 nothing", "damaged"),
        "locked.pdf": (locked.getvalue(), "encrypted"),
        "scan.pdf": (pdf(tmp_path / "scan.pdf", []).read_bytes(), "OCR"),
        "old.doc": (b"\xd0\xcf\x11\xe0", "save it as .docx"),
        "program.exe": (b"MZ", "give one of .csv"),
    }
    for name, (data, message) in bad.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(UnreadableDocumentError, match=message):
            read_file(path, max_bytes=2_000_000)


def test_a_file_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDocumentError, match="cannot be opened: No such file"):
        read_file(tmp_path / "gone.md")


def test_what_no_database_keeps_is_left_out_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("Beds are firm. " * 20_000 + "Sofas\0 are soft.")
    assert read_file(path).pieces[-1].text.endswith("Sofas are soft.")
