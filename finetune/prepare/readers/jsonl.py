"""JSON Lines: an object a line. A line that is none is reported with its number."""

from collections.abc import Iterator
from typing import Any

import orjson

from finetune.prepare.complaints import Complaints
from finetune.prepare.rows import Rows
from finetune.prepare.source import Source


def read_jsonl(source: Source, complaints: Complaints) -> Iterator[Rows]:
    """The objects of a file."""
    for first, lines in source.lines(complaints):
        try:
            records = list(map(orjson.loads, lines))
        except orjson.JSONDecodeError:
            yield _read_slowly(source, first, lines, complaints)
            continue
        if set(map(type, records)) == {dict}:
            yield Rows(numbers=range(first, first + len(records)), records=records)
        else:
            yield _read_slowly(source, first, lines, complaints)


def _read_slowly(source: Source, first: int, lines: list[bytes], complaints: Complaints) -> Rows:
    """Line by line, where one of them is broken."""
    rows = Rows(numbers=[], records=[])
    numbers: list[int] = []
    for number, line in enumerate(lines, start=first):
        if not line.strip():
            continue
        record, trouble = _parse(line)
        if trouble:
            complaints.add(source.name, f"line {number}", trouble)
        else:
            numbers.append(number)
            rows.records.append(record)
    rows.numbers = numbers
    return rows


def _parse(line: bytes) -> tuple[Any, str | None]:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        try:
            line.decode()
        except UnicodeDecodeError as wrong:
            return None, f"has bytes that are not text, at column {wrong.start + 1}"
        return None, f"is not JSON: {error.msg.split(':')[0]} at column {error.colno}"
    if not isinstance(record, dict):
        return None, f"is {_called(record)}, not an object like {{...}}"
    return record, None


def _called(value: object) -> str:
    return {list: "a list", str: "a text", type(None): "null"}.get(type(value), "a number")
