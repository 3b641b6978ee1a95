"""Reads a file into pieces: one module a format, and the checks that all of them need."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from knowledge.block import Block
from knowledge.chunk import Piece, split_blocks
from knowledge.errors import UnreadableDocumentError
from knowledge.reading.html import blocks_of_html
from knowledge.reading.markdown import blocks_of_markdown
from knowledge.reading.pdf import blocks_of_pdf
from knowledge.reading.table import pieces_of_csv, pieces_of_excel
from knowledge.reading.text import blocks_of_text, decode
from knowledge.reading.word import blocks_of_word
from store.text import clean_text

log = structlog.get_logger()

MAX_BYTES = 50 * 1024 * 1024
MAX_UNPACKED = 4
"""A .docx or .xlsx may unpack to so many times the limit: more is a bomb, or beyond our memory."""
MAX_WORDS = 300
"""Letters of what a parser says: some say what the whole file holds."""

MARKDOWN = {".md", ".markdown"}
TEXT = {".txt", ".text"}
HTML = {".html", ".htm", ".xhtml"}
CSV = {".csv", ".tsv"}
EXCEL = {".xlsx", ".xlsm"}
ZIPPED = EXCEL | {".docx"}
READABLE = MARKDOWN | TEXT | HTML | CSV | ZIPPED | {".pdf"}
_INSTEAD = {".doc": ".docx", ".xls": ".xlsx", ".rtf": ".docx", ".odt": ".docx", ".ods": ".xlsx"}


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds."""

    title: str
    pieces: list[Piece]


def read_file(path: Path, *, max_bytes: int = MAX_BYTES) -> Content:
    """The title and the pieces of a file. Blocks: call it in a thread.

    Raises:
        UnreadableDocumentError: in words for the person who ingests it.
    """
    try:
        _check(path, max_bytes)
        title, pieces = _read(path)
    except OSError as error:
        raise UnreadableDocumentError(f"cannot be opened: {error.strerror or error}") from error
    except (MemoryError, RecursionError) as error:
        raise UnreadableDocumentError(
            f"too intricate to read ({type(error).__name__}); split it up"
        ) from error
    except UnreadableDocumentError:
        raise
    except Exception as error:  # parsers meet damage in more ways than they name
        log.debug("reader_failed", path=str(path), exc_info=True)
        raise UnreadableDocumentError(_damaged(path, error)) from error
    if not pieces:
        raise UnreadableDocumentError("there is no text in the file")
    kept = [
        Piece(
            clean_text(each.text),
            clean_text(each.heading),
            each.question and clean_text(each.question),
        )
        for each in pieces
    ]
    return Content(clean_text(title or path.stem)[:500], kept)


def _damaged(path: Path, error: Exception) -> str:
    said = f"{type(error).__name__}: {error}"[:MAX_WORDS]
    words = " ".join("".join(each if each.isprintable() else " " for each in said).split())
    return (
        f"the file is damaged, or no sound {path.suffix.lower()} ({words}); "
        f"open it in the program that made it and save it again"
    )


def _read(path: Path) -> tuple[str | None, list[Piece]]:
    suffix = path.suffix.lower()
    if suffix in CSV:
        return None, pieces_of_csv(decode(path.read_bytes()))
    if suffix in EXCEL:
        return None, pieces_of_excel(path)
    title, blocks = _blocks(path, suffix)
    return title, list(split_blocks(blocks))


def _blocks(path: Path, suffix: str) -> tuple[str | None, list[Block]]:
    read: dict[str, Callable[[Path], tuple[str | None, list[Block]]]] = {
        ".pdf": blocks_of_pdf,
        ".docx": blocks_of_word,
    }
    if suffix in read:
        return read[suffix](path)
    text = decode(path.read_bytes())
    if suffix in MARKDOWN:
        return blocks_of_markdown(text)
    if suffix in HTML:
        return blocks_of_html(text)
    return None, list(blocks_of_text(text))


def _check(path: Path, max_bytes: int) -> None:
    suffix = path.suffix.lower()
    if suffix not in READABLE:
        instead = _INSTEAD.get(suffix)
        raise UnreadableDocumentError(
            f"{suffix or 'a file without a suffix'} is not read; "
            + (f"save it as {instead}" if instead else f"give one of {', '.join(sorted(READABLE))}")
        )
    size = path.stat().st_size
    if size == 0:
        raise UnreadableDocumentError("the file is empty")
    if size > max_bytes:
        raise UnreadableDocumentError(
            f"the file has {size:,} bytes and the limit is {max_bytes:,}; split it up"
        )
    if suffix in ZIPPED:
        _check_unpacked(path, suffix, MAX_UNPACKED * max_bytes)


def _check_unpacked(path: Path, suffix: str, limit: int) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except zipfile.BadZipFile as error:
        raise UnreadableDocumentError(
            f"this is no sound {suffix}, or it has a password ({error}); open it and save it again"
        ) from error
    if unpacked > limit:
        raise UnreadableDocumentError(
            f"the file unpacks to {unpacked:,} bytes and the limit is {limit:,}; split it up"
        )
