"""Plain text, and the encodings that it comes in."""

import codecs
import re
from collections.abc import Iterator

from charset_normalizer import from_bytes

from knowledge.block import Block
from knowledge.errors import UnreadableDocumentError

_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark is its beginning
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_LIKELY = ["gb18030", "big5", "cp1252", "shift_jis", "euc_kr", "cp1251"]
_SAMPLE = 256 * 1024
_BLANK_LINES = re.compile(r"\n\s*\n")


def decode(data: bytes) -> str:
    """The text of a file with plain line ends, whatever its encoding.

    Raises:
        UnreadableDocumentError: it is empty, binary, or in no encoding that we can tell.
    """
    if not data.strip():
        raise UnreadableDocumentError("the file is empty")
    text = _decode(data).replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\x0c", "\n\n")


def _decode(data: bytes) -> str:
    for mark, encoding in _BOMS.items():
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError as error:
                raise UnreadableDocumentError(
                    f"the file begins as {encoding} and then is not: {error}; save it as UTF-8"
                ) from None
    if b"\0" in data[:_SAMPLE]:
        raise UnreadableDocumentError("the file is binary, not text")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return _decode_by_guess(data)


def _decode_by_guess(data: bytes) -> str:
    best = from_bytes(data[:_SAMPLE], cp_isolation=_LIKELY).best()
    if best is not None:
        try:
            return data.decode(best.encoding)
        except UnicodeDecodeError:
            pass
    raise UnreadableDocumentError("the encoding cannot be told; save the file as UTF-8")


def blocks_of_text(text: str) -> Iterator[Block]:
    """Paragraphs, as blank lines part them."""
    for paragraph in _BLANK_LINES.split(text):
        if paragraph.strip():
            yield Block(paragraph.strip("\n"))
