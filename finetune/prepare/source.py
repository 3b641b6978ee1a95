"""A source: a text file in whatever encoding, read as UTF-8, piece by piece.

A byte that is not text makes its own row unreadable and no other: it goes through as 0xFF, which
no UTF-8 has, so that the row's reader meets it and complains with the row's number.
"""

import codecs
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from finetune.prepare.complaints import Complaints
from finetune.prepare.errors import UnreadableFileError
from knowledge.encoding import encoding_of_mark, guess_encoding
from knowledge.errors import UnreadableDocumentError

MAX_ROW_BYTES = 8 << 20
"""A longer row is reported and skipped: no model reads it, and it would not fit into memory."""
CHUNK = 1 << 20
_TELLING = 64 * 1024
"""So many bytes of lines that are not ASCII tell the encoding."""

OnBytes = Callable[[int], None]
"""Is told how many more bytes of the file were read."""


class Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\udcff", error.end


codecs.register_error("nod-mark", _mark)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file to read text from."""

    path: Path
    encoding: str
    on_bytes: OnBytes = lambda _count: None

    @property
    def name(self) -> str:
        return self.path.name

    @contextmanager
    def open(self) -> Iterator[Stream]:
        """The file as UTF-8 without a byte order mark, wherever it can be that."""
        with self.path.open("rb") as file:
            counted = _Counted(file, self.on_bytes)
            if self.encoding == "utf-8":
                yield counted
            elif self.encoding == "utf-8-sig":
                counted.read(len(codecs.BOM_UTF8))
                yield counted
            else:
                yield _Transcoded(counted, self.encoding)

    def head(self, size: int = 256 * 1024) -> str:
        """The beginning of the text, to tell the format by."""
        with self.open() as stream:
            return stream.read(size).decode("utf-8", "surrogateescape")

    def lines(self, complaints: Complaints) -> Iterator[tuple[int, list[bytes]]]:
        """Lines without their ends, about a megabyte at a time, with the number of the first.

        A line above `MAX_ROW_BYTES` is reported and skipped without being held.
        """
        number, rest, is_skipping = 1, b"", False
        with self.open() as stream:
            while chunk := stream.read(CHUNK):
                *lines, rest = (rest + chunk).split(b"\n")
                if lines and is_skipping:
                    lines, is_skipping = lines[1:], False
                    self._complain_of_length(number, complaints)
                    number += 1
                if lines:
                    yield number, lines
                    number += len(lines)
                if len(rest) > MAX_ROW_BYTES or is_skipping:
                    rest, is_skipping = b"", True
        if is_skipping:
            self._complain_of_length(number, complaints)
        elif rest:
            yield number, [rest]

    def _complain_of_length(self, number: int, complaints: Complaints) -> None:
        reason = f"is longer than {MAX_ROW_BYTES >> 20} MB; split it up"
        complaints.add(self.name, f"line {number}", reason)


def open_source(path: Path, on_bytes: OnBytes = lambda _count: None) -> Source:
    """A source with its encoding, told by its mark or its bytes.

    Raises:
        UnreadableFileError: it is empty, binary, or in no encoding that can be told.
    """
    try:
        encoding = _tell_encoding(path)
    except UnreadableDocumentError as error:
        raise UnreadableFileError(str(error)) from None
    return Source(path=path, encoding=encoding, on_bytes=on_bytes)


def _tell_encoding(path: Path) -> str:
    """Reads on until enough was seen: a file may be plain English for megabytes."""
    telling = bytearray()
    with path.open("rb") as file:
        head = file.read(CHUNK)
        if not head.strip():
            raise UnreadableFileError("the file is empty")
        if marked := encoding_of_mark(head) or _wide_encoding(head):
            return marked
        chunk = head
        while chunk and len(telling) < _TELLING:
            if b"\0" in chunk:
                raise UnreadableFileError("the file is binary, not text")
            if not chunk.isascii():
                whole = chunk + file.readline(CHUNK)
                telling += b"\n".join(li for li in whole.split(b"\n") if not li.isascii())
            chunk = file.read(CHUNK)
    if not telling:
        return "utf-8"
    lines = bytes(telling).split(b"\n")
    if sum(_is(line, "utf-8") for line in lines) * 2 >= len(lines):
        return "utf-8"
    chinese = [line for line in lines if _is(line, "gb18030")]
    # A few broken lines must not hide what the others are written in.
    return guess_encoding(b"\n".join(chinese if len(chinese) * 10 >= len(lines) * 9 else lines))


def _is(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _wide_encoding(head: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of its plain letters and line ends is zero."""
    zeros = head.count(b"\0")
    if zeros * 10 < len(head) or len(head) % 2:
        return None
    odd = head[1::2].count(b"\0")
    encoding = "utf-16-le" if odd * 2 > zeros else "utf-16-be"
    try:
        head[: len(head) // 4 * 4].decode(encoding)
    except UnicodeDecodeError:
        return None
    return encoding if max(odd, zeros - odd) > 0.9 * zeros else None


class _Counted:
    def __init__(self, file: BinaryIO, on_bytes: OnBytes) -> None:
        self._file = file
        self._on_bytes = on_bytes

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        self._on_bytes(len(data))
        return data


class _Transcoded:
    """Any encoding in, UTF-8 out."""

    def __init__(self, stream: Stream, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("nod-mark")
        self._is_at_end = False

    def read(self, size: int, /) -> bytes:
        while not self._is_at_end:
            data = self._stream.read(size)
            self._is_at_end = not data
            if text := self._decoder.decode(data, final=not data):
                return text.encode("utf-8", "surrogateescape")
        return b""
