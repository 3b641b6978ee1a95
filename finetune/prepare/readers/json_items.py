"""JSON: the objects of one list, one after the other, however large the file is.

The list may be the whole file, or stand under a key of it. An object that is broken is reported
with its line, and reading goes on at the next one: that is a place which begins as the first
object began.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from finetune.prepare.complaints import Complaints
from finetune.prepare.rows import BATCH, Rows
from finetune.prepare.source import CHUNK, MAX_ROW_BYTES, Source, Stream

_decoder = json.JSONDecoder()
_BLANK = re.compile(r"[\s,]*")
_TOO_LONG = f"is longer than {MAX_ROW_BYTES >> 20} MB; split it up"
_CUT_OFF = 16
"""An error in the last characters of what was read may only mean that there is more to read."""


def read_json(source: Source, complaints: Complaints, *, key: str | None) -> Iterator[Rows]:
    """The objects of a file's list.

    Args:
        key: under which the list stands; None where the file is the list, or objects in a row.
    """
    rows = Rows(numbers=[], records=[])
    numbers: list[int] = []
    for line, record in read_items(source, complaints, key=key):
        numbers.append(line)
        rows.records.append(record)
        if len(numbers) == BATCH:
            rows.numbers = numbers
            yield rows
            rows, numbers = Rows(numbers=[], records=[]), []
    rows.numbers = numbers
    yield rows


def read_items(
    source: Source, complaints: Complaints, *, key: str | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each object with the number of its first line."""
    with source.open() as stream:
        yield from _Items(stream, source.name, complaints).read(key)


class _Items:
    """A window on the text: `text[at:]` is what is still to be read."""

    def __init__(self, stream: Stream, name: str, complaints: Complaints) -> None:
        self._stream = stream
        self._name = name
        self._complaints = complaints
        self._rest = b""  # of a character that the last chunk cut
        self._text = ""
        self._at = 0
        self._line = 1  # of text[0]
        self._counted = 0  # newlines up to here are in _line already
        self._is_at_end = False
        self._beginning: re.Pattern[str] | None = None  # of an object that is none of the broken

    def read(self, key: str | None) -> Iterator[tuple[int, dict[str, Any]]]:
        while self._enter(key):
            yield from self._read_list(is_open_ended=False)
            if key is None:
                return
        if key is None:
            yield from self._read_list(is_open_ended=True)

    def _enter(self, key: str | None) -> bool:
        """Go behind the `[` that opens the list; False where there is none (any more)."""
        if key is None:
            self._fill_at_start()
            self._at = _blank(self._text, self._at)
            if self._text[self._at : self._at + 1] != "[":
                return False
            self._at += 1
            return True
        opening = re.compile(rf'(?<!\\)"{re.escape(key)}"\s*:\s*\[')
        while not (found := opening.search(self._text, self._at)):
            self._at = max(self._at, len(self._text) - len(key) - 64)
            if not self._fill():
                return False
        self._at = found.end()
        return True

    def _read_list(self, *, is_open_ended: bool) -> Iterator[tuple[int, dict[str, Any]]]:
        while True:
            self._at = _blank(self._text, self._at)
            if self._at == len(self._text):
                if self._fill():
                    continue
                if not is_open_ended:
                    self._complain("the file ends before its list does: it was cut off")
                return
            if self._text[self._at] == "]" and not is_open_ended:
                self._at += 1
                return
            line = self._line_at(self._at)
            item = self._item()
            if isinstance(item, dict):
                yield line, item

    def _item(self) -> object:
        """The next value; None where it is broken, which is reported."""
        size = CHUNK
        while True:
            try:
                item, end = _decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                is_cut = (
                    error.msg.startswith("Unterminated") or error.pos >= len(self._text) - _CUT_OFF
                )
                if is_cut and len(self._text) - self._at > MAX_ROW_BYTES:
                    self._skip(self._at, _TOO_LONG)
                    return None
                if is_cut and self._fill(size):
                    size *= 2  # or a long object would be parsed again and again
                    continue
                self._skip(error.pos, f"is not JSON: {error.msg}")
                return None
            except (RecursionError, ValueError):
                self._skip(self._at, "is nested too deep, or has a number without end")
                return None
            return self._take(item, end)

    def _take(self, item: object, end: int) -> object:
        where, start, self._at = f"line {self._line_at(self._at)}", self._at, end
        if not isinstance(item, dict):
            self._complaints.add(self._name, where, "is not an object like {...}")
        elif end - start > MAX_ROW_BYTES:
            self._complaints.add(self._name, where, _TOO_LONG)
        elif not _is_text(self._text, start, end, item):
            self._complaints.add(self._name, where, "has bytes that are not text")
        else:
            if self._beginning is None and item:
                first = re.escape(json.dumps(next(iter(item)), ensure_ascii=False))
                self._beginning = re.compile(rf"\{{\s*{first}\s*:")
            return item
        return None

    def _skip(self, wrong_at: int, reason: str) -> None:
        """Report the object, and go on at the next that begins like the first one."""
        line = self._line_at(self._at)
        wrong_line = line + self._text.count("\n", self._at, wrong_at)
        at = f" (at line {wrong_line})" if wrong_line != line else ""
        self._complaints.add(self._name, f"line {line}", reason + at)
        beginning = self._beginning or re.compile(r"\{")
        self._at += 1
        while not (found := beginning.search(self._text, self._at)):
            self._at = max(self._at, len(self._text) - 256)
            if not self._fill():
                self._at = len(self._text)
                return
        self._at = found.start()

    def _complain(self, reason: str) -> None:
        self._complaints.add(self._name, f"line {self._line_at(len(self._text))}", reason)

    def _line_at(self, at: int) -> int:
        """Counts on from the last place asked for; earlier places are counted back."""
        if at >= self._counted:
            self._line += self._text.count("\n", self._counted, at)
        else:
            self._line -= self._text.count("\n", at, self._counted)
        self._counted = at
        return self._line

    def _fill_at_start(self) -> None:
        while not self._text[self._at :].strip() and self._fill():
            pass

    def _fill(self, size: int = CHUNK) -> bool:
        """Read more; what was read before `at` is forgotten. False at the end of the file."""
        if self._is_at_end:
            return False
        data = self._stream.read(size)
        self._is_at_end = not data
        text, self._rest = _decode(self._rest + data, is_last=not data)
        self._line_at(self._at)
        self._text = self._text[self._at :] + text
        self._at = self._counted = 0
        return bool(data)


def _decode(data: bytes, *, is_last: bool) -> tuple[str, bytes]:
    """Whole characters, and the bytes of one that goes on in the next piece."""
    cut = len(data)
    if not is_last:
        for back in range(1, min(4, len(data)) + 1):
            byte = data[-back]
            if byte >= 0xC0:  # the first byte of several
                needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
                cut = len(data) - back if needed > back else len(data)
                break
            if byte < 0x80:
                break
    return data[:cut].decode("utf-8", "surrogateescape"), data[cut:]


def _blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _is_text(text: str, start: int, end: int, item: object) -> bool:
    """Whether it can be written as UTF-8; half a surrogate pair, also escaped, cannot."""
    raw = text[start:end]
    try:
        raw.encode()
        if "\\u" in raw:
            json.dumps(item, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
