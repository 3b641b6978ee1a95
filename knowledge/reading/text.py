"""Plain text, in whatever encoding it comes."""

import re
from collections.abc import Iterator

from knowledge.block import Block
from knowledge.encoding import SAMPLE, encoding_of_mark, guess_encoding
from knowledge.errors import UnreadableDocumentError

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
    if encoding := encoding_of_mark(data):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError as error:
            raise UnreadableDocumentError(
                f"the file begins as {encoding} and then is not: {error}; save it as UTF-8"
            ) from None
    if b"\0" in data[:SAMPLE]:
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
