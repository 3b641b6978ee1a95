"""Encoding: what a text is written in, told by its mark or by its bytes."""

import codecs
import re

from charset_normalizer import from_bytes

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
SAMPLE = 256 * 1024


def encoding_of_mark(data: bytes) -> str | None:
    """The encoding that a byte order mark at the beginning names."""
    return next((encoding for mark, encoding in _BOMS.items() if data.startswith(mark)), None)


def guess_encoding(data: bytes) -> str:
    """The likeliest encoding of text that is not UTF-8.

    Raises:
        UnreadableDocumentError: there is none that we can tell.
    """
    best = from_bytes(data[:SAMPLE], cp_isolation=_LIKELY).best()
    is_korean = best is not None and best.encoding == "euc_kr" and _KOREAN.fullmatch(data)
    if _CHINESE.fullmatch(data[:SAMPLE]) and not is_korean:
        return "gb18030"  # a few words are too few for statistics
    if best is None:
        raise UnreadableDocumentError("the encoding cannot be told; save the file as UTF-8")
    return best.encoding
