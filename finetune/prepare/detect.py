"""Detect: what a file is, by what stands in it; its name decides only where that leaves doubt."""

import csv
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import orjson

from finetune.prepare.columns import find_columns
from finetune.prepare.conversation import is_conversation
from finetune.prepare.errors import UnreadableFileError
from finetune.prepare.readers.telegram import is_telegram
from finetune.prepare.readers.wechat import is_wechat
from finetune.prepare.source import Source

MARKDOWN = {".md", ".markdown"}


class Format(StrEnum):
    """How a file is written."""

    csv = "CSV"
    tsv = "TSV"
    xlsx = "XLSX"
    json = "JSON"
    jsonl = "JSONL"
    text = "TXT"
    markdown = "Markdown"
    telegram = "Telegram export"
    wechat = "WeChat export"


CHATS = (Format.telegram, Format.wechat)


@dataclass(frozen=True, kw_only=True)
class Detected:
    """A format, and what its reader needs to know."""

    format: Format
    delimiter: str = ","
    key: str | None = None
    """Of the list in a JSON file that is an object."""


_SIGNATURES = (
    (b"%PDF", "a PDF; `nod ingest` reads those for the knowledge store"),
    (b"\xd0\xcf\x11\xe0", "an old .xls, or an .xlsx with a password; save it as .xlsx without one"),
    (b"\x1f\x8b", "packed with gzip; unpack it first"),
    (b"7z\xbc\xaf", "packed with 7z; unpack it first"),
    (b"SQLite format 3", "a SQLite database; export a table of it as CSV"),
    (b"PAR1", "a Parquet file; save it as CSV or JSONL"),
)


def detect_binary(path: Path) -> Format | None:
    """XLSX by its first bytes; None for what may be text.

    Raises:
        UnreadableFileError: it is of a kind that is not read.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    for signature, called in _SIGNATURES:
        if head.startswith(signature):
            raise UnreadableFileError(f"this is {called}")
    if not head.startswith(b"PK\x03\x04"):
        return None
    if b"word/" in head:
        raise UnreadableFileError("this is a Word file; `nod ingest` reads those")
    if path.suffix.lower() == ".zip":
        raise UnreadableFileError("this is packed with zip; unpack it first")
    return Format.xlsx


def detect_text(source: Source) -> Detected:
    """What a text file is."""
    head = source.head()
    suffix = source.path.suffix.lower()
    opening = head.lstrip()
    if re.match(r'\[\s*(\{|\]|$)|\{\s*("|\}|$)', opening):
        return _detect_json(opening)
    if suffix in MARKDOWN:
        return Detected(format=Format.markdown)
    return _detect_table(opening, suffix) or Detected(
        format=Format.markdown if _looks_like_markdown(opening, suffix) else Format.text
    )


def _detect_json(head: str) -> Detected:
    if head.startswith("["):
        return Detected(format=Format.json)
    if is_telegram(head):
        return Detected(format=Format.telegram)
    lines = [line for line in head.split("\n") if line.strip()]
    is_whole = len(lines) > 1 or head.endswith("\n")
    first = _parse(lines[0])
    if isinstance(first, dict) and (len(lines) > 1 or is_conversation(first)):
        return Detected(format=Format.jsonl)
    if isinstance(first, dict):
        key = next((key for key, value in first.items() if _is_list_of_objects(value)), None)
        return Detected(format=Format.json, key=key) if key else Detected(format=Format.jsonl)
    if len(lines) > 1 and is_whole and lines[1].lstrip().startswith('{"'):
        return Detected(format=Format.jsonl)  # whose first line is broken
    listed = re.search(r'(?<!\\)"([^"\\]{1,80})"\s*:\s*\[\s*\{', head)
    if listed and listed[1] not in ("messages", "conversations", "conversation"):
        return Detected(format=Format.json, key=listed[1])
    return Detected(format=Format.json)


def _parse(line: str) -> object:
    try:
        return orjson.loads(line)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return None


def _is_list_of_objects(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _detect_table(head: str, suffix: str) -> Detected | None:
    """A table has a suffix that says so, or a first line with columns that we know."""
    usual = {".tsv": "\t", ".tab": "\t"}.get(suffix, ",")
    best, best_score = usual, (0, 0, 0)
    for delimiter in dict.fromkeys((usual, ",", "\t", ";", "|")):
        header = _first_row(head, delimiter)
        known = bool(find_columns(header)) and len(header) > 1
        score = (int(is_wechat(header)), int(known), len(header) if suffix in _TABLES else 0)
        if score > best_score:
            best, best_score = delimiter, score
    if best_score[0]:
        return Detected(format=Format.wechat, delimiter=best)
    if suffix not in _TABLES and not best_score[1]:
        return None
    return Detected(format=Format.tsv if best == "\t" else Format.csv, delimiter=best)


_TABLES = {".csv", ".tsv", ".tab"}


def _first_row(head: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader(head[:20_000].splitlines(), delimiter=delimiter), [])
    except csv.Error:
        return []


def _looks_like_markdown(head: str, suffix: str) -> bool:
    """Without the suffix, only front matter or a heading with text under it tells."""
    if suffix in (".txt", ".text"):
        return False
    return bool(re.match(r"---\n.*?\n---\n|#{1,6} \S.*\n", head, re.DOTALL))
