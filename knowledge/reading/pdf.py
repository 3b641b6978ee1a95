"""PDF: the text of its pages, each under its number."""

import re
from pathlib import Path

from pypdf import PdfReader
from pypdf.errors import DependencyError

from knowledge.block import Block
from knowledge.errors import UnreadableDocumentError
from knowledge.reading.text import blocks_of_text
from store.text import clean_text

# A line that goes on in the next one: both ends are letters, or one is a comma.
_WRAPPED = re.compile(r"(?<=[^\s.!?:。！？：])\n(?=[^\s\d•\-–*])")
_HYPHENATED = re.compile(r"(?<=[a-z])-\n(?=[a-z])")
_CJK_WRAPPED = re.compile(r"(?<=[\u3400-\u9fff，、；]) (?=[\u3400-\u9fff])")


def blocks_of_pdf(path: Path) -> tuple[str | None, list[Block]]:
    """The document's title, where it names one, and its paragraphs.

    Raises:
        UnreadableDocumentError: it is encrypted, or pictures of text.
    """
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableDocumentError(
                "the PDF is encrypted; save a copy without a password and ingest that"
            )
        title = reader.metadata.title if reader.metadata else None
        blocks = [
            Block(block.text, f"page {number}")
            for number, page in enumerate(reader.pages, start=1)
            for block in blocks_of_text(_unwrap(page.extract_text()))
        ]
    except DependencyError as error:
        raise UnreadableDocumentError(
            f"the PDF is encrypted ({error}); save a copy without a password and ingest that"
        ) from None
    if not blocks:
        raise UnreadableDocumentError(
            "the PDF has no text, only pictures of it; run it through OCR (such as ocrmypdf) first"
        )
    return (title or "").strip() or None, blocks


def _unwrap(text: str) -> str:
    """Lines put back together that only the width of the page had parted."""
    text = _HYPHENATED.sub("", clean_text(text))
    return _CJK_WRAPPED.sub("", _WRAPPED.sub(" ", text))
