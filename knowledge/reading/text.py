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
# GB2312's punctuation and its 3,755 common characters, and the part of it that is Korean as well.
_CHINESE = re.compile(rb"(?:[\x00-\x7f]|[\xa1-\xa3\xb0-\xd7][\xa1-\xfe])+")
_KOREAN = re.compile(rb"(?:[\x00-\x7f]|[\xa1-\xa3\xb0-\xc8][\xa1-\xfe])+")
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


def encoding_of_mark(data: bytes) -> str | None:
    """The encoding that a byte order mark at the beginning names."""
    return next((encoding for mark, encoding in _BOMS.items() if data.startswith(mark)), None)


def guess_encoding(data: bytes) -> str:
    """The likeliest encoding of text that is not UTF-8.

    Raises:
        UnreadableDocumentError: there is none that we can tell.
    """
    best = from_bytes(data[:_SAMPLE], cp_isolation=_LIKELY).best()
    is_korean = best is not None and best.encoding == "euc_kr" and _KOREAN.fullmatch(data)
    if _CHINESE.fullmatch(data[:_SAMPLE]) and not is_korean:
        return "gb18030"  # a few words are too few for statistics
    if best is None:
        raise UnreadableDocumentError("the encoding cannot be told; save the file as UTF-8")
    return best.encoding


def _decode(data: bytes) -> str:
    if encoding := encoding_of_mark(data):
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
    try:
        return data.decode(guess_encoding(data))
    except UnicodeDecodeError:
        raise UnreadableDocumentError(
            "the encoding cannot be told; save the file as UTF-8"
        ) from None


def blocks_of_text(text: str) -> Iterator[Block]:
    """Paragraphs, as blank lines part them."""
    for paragraph in _BLANK_LINES.split(text):
        if paragraph.strip():
            yield Block(paragraph.strip("\n"))
