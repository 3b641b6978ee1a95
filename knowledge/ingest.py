"""Ingest: brings documents and their chunks to what the files say.

Each file is one transaction: a crash leaves whole documents, and the next ingest goes on. What has
not changed is skipped; of what has, the chunks that stayed the same keep their embeddings.
"""

import asyncio
import hashlib
import os
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from sqlalchemy import delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from knowledge.approved import Changed
from knowledge.chunk import Piece
from knowledge.errors import UnreadableDocumentError
from knowledge.index import Index
from knowledge.reading import MAX_BYTES, READABLE, Content, read_file
from store import Chunk, Database, Document, DocumentKind, utc_now
from store.text import clean_text, is_clean

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class IngestProgress:
    """How far an ingest has come, for a progress bar."""

    step: str
    """`reading`, counted in files, then `embedding`, counted in chunks."""
    done: int
    total: int
    name: str = ""
    """The file that was just read."""


@dataclass(kw_only=True)
class IngestReport:
    """What an ingest did."""

    added: list[Path] = field(default_factory=list)
    changed: list[Path] = field(default_factory=list)
    unchanged: list[Path] = field(default_factory=list)
    removed: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    """Why a file or folder could not be read; what was known from it before is kept."""
    ignored: list[Path] = field(default_factory=list)
    """Files in a folder of a kind that is not read."""
    chunks: int = 0
    """Chunks that were added."""
    waiting: int = 0
    """Chunks without an embedding yet: found by their words, embedded by the next `sync`."""
    duration_s: float = 0.0


OnIngest = Callable[[IngestProgress], None]


async def ingest(
    database: Database,
    index: Index,
    paths: Iterable[Path],
    *,
    on_progress: OnIngest | None = None,
    max_bytes: int = MAX_BYTES,
) -> IngestReport:
    """Read files, and folders with all that is below them."""
    started, report = time.monotonic(), IngestReport()
    roots = [path.expanduser().resolve() for path in paths]
    found = await asyncio.to_thread(_find_files, roots, report)
    total = len(found.files)
    for done, (path, root) in enumerate(found.files.items(), start=1):
        await _ingest_file(database, index, path, root, max_bytes, report)
        if on_progress:
            on_progress(IngestProgress(step="reading", done=done, total=total, name=path.name))
    await _remove_gone(database, index, found, report)

    def on_embedded(done: int, total: int) -> None:
        if on_progress:
            on_progress(IngestProgress(step="embedding", done=done, total=total))

    report.waiting = await index.embed_waiting(on_embedded)
    report.duration_s = time.monotonic() - started
    return report


@dataclass(kw_only=True)
class _Found:
    """What is below the paths that were given."""

    files: dict[Path, Path] = field(default_factory=dict)
    """Each file to read, with the root that it was found below."""
    folders: list[Path] = field(default_factory=list)
    """Those of the roots that are folders."""
    unlisted: list[Path] = field(default_factory=list)
    """Folders that could not be looked into: what is missing from them may well be there."""


def _find_files(roots: Sequence[Path], report: IngestReport) -> _Found:
    found = _Found()
    for root in roots:
        try:
            is_folder = stat.S_ISDIR(root.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            report.failed[root] = "there is no such file or folder"
        except OSError as error:
            report.failed[root] = f"cannot be opened: {error.strerror or error}"
        else:
            if is_folder:
                found.folders.append(root)
                _walk(root, found, report)
            else:
                _take(root, root, found, report)
    return found


def _walk(root: Path, found: _Found, report: IngestReport) -> None:
    """Find what is below a folder; hidden files and folders are left alone."""

    def on_error(error: OSError) -> None:
        folder = Path(error.filename or root)
        found.unlisted.append(folder)
        report.failed[Path(clean_text(str(folder)))] = (
            f"cannot be looked into: {error.strerror or error}; what is known from it is kept"
        )

    for folder, below, names in os.walk(root, onerror=on_error):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            path = Path(folder, name)
            if path.suffix.lower() in READABLE:
                _take(path, root, found, report)
            else:
                report.ignored.append(path)


def _take(path: Path, root: Path, found: _Found, report: IngestReport) -> None:
    if not is_clean(str(path)):  # the database would keep another name, which is no file's
        report.failed[Path(clean_text(str(path)))] = "its name is not in UTF-8; rename it"
    else:
        found.files.setdefault(path, root)


async def _ingest_file(
    database: Database,
    index: Index,
    path: Path,
    root: Path,
    max_bytes: int,
    report: IngestReport,
) -> None:
    async with database.read() as session:
        known = await session.scalar(select(Document).where(Document.source == str(path)))
    try:
        sha256, size_bytes = await asyncio.to_thread(_look_at, path, max_bytes)
        if known and known.sha256 == sha256 and known.error is None:
            report.unchanged.append(path)
            return
        content = await asyncio.to_thread(read_file, path, max_bytes=max_bytes)
    except UnreadableDocumentError as error:
        report.failed[path] = str(error)
        await _record_failure(database, path, root, str(error))
        return
    async with database.write() as session:
        document = await _document_at(session, path, root)
        document.title, document.sha256, document.error = content.title, sha256, None
        document.size_bytes, document.updated_at = size_bytes, utc_now()
        changed = await _replace_chunks(session, document.id, content)
    await index.remove(changed.removed)
    await index.add(changed.added)
    report.chunks += len(changed.added)
    (report.changed if known else report.added).append(path)


def _look_at(path: Path, max_bytes: int) -> tuple[str, int]:
    """The SHA-256 of a file and its bytes; no sum of an enormous one, which will be refused."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # to open a pipe waits until somebody writes
            raise UnreadableDocumentError("is a pipe or a device; give a file")
        if status.st_size > max_bytes:
            return "", status.st_size
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), status.st_size
    except OSError as error:
        raise UnreadableDocumentError(f"cannot be opened: {error.strerror or error}") from error


async def _record_failure(database: Database, path: Path, root: Path, error: str) -> None:
    log.warning("document_unreadable", path=str(path), error=error)
    async with database.write() as session:
        document = await _document_at(session, path, root)
        document.error, document.updated_at = error, utc_now()


async def _document_at(session: AsyncSession, path: Path, root: Path) -> Document:
    document = await session.scalar(
        select(Document).where(Document.source == str(path)).with_for_update()
    )
    if document is None:
        document = Document(source=str(path), kind=DocumentKind.file, title=path.stem[:500])
        session.add(document)
    document.root = str(root)
    await session.flush()
    return document


async def _replace_chunks(session: AsyncSession, document_id: int, content: Content) -> Changed:
    """Make the chunks of a document what its file holds; those that are in both stay."""
    stored: dict[Piece, list[int]] = defaultdict(list)
    of_document = Chunk.document_id == document_id
    for chunk in await session.scalars(select(Chunk).where(of_document).order_by(Chunk.seq)):
        stored[Piece(chunk.text, chunk.heading, chunk.question)].append(chunk.id)
    # Out of the way of the new numbers, which are unique.
    await session.execute(update(Chunk).where(of_document).values(seq=-1 - Chunk.seq))
    kept: list[dict[str, int]] = []
    new: list[Chunk] = []
    for seq, piece in enumerate(content.pieces):
        if same := stored.get(piece):
            kept.append({"id": same.pop(0), "seq": seq})
        else:
            new.append(_chunk(document_id, seq, piece))
    removed = [chunk_id for ids in stored.values() for chunk_id in ids]
    await session.execute(delete(Chunk).where(of_document, Chunk.seq < 0, Chunk.id.in_(removed)))
    if kept:
        await session.execute(update(Chunk), kept)
    session.add_all(new)
    await session.flush()
    return Changed([chunk.id for chunk in new], removed)


def _chunk(document_id: int, seq: int, piece: Piece) -> Chunk:
    return Chunk(
        document_id=document_id,
        seq=seq,
        kind=piece.kind,
        heading=piece.heading,
        question=piece.question,
        text=piece.text,
    )


async def _remove_gone(
    database: Database, index: Index, found: _Found, report: IngestReport
) -> None:
    """Remove the documents below the given folders whose files are no longer there."""
    if not found.folders:
        return
    below = [
        Document.source.startswith(f"{root}{os.sep}", autoescape=True) for root in found.folders
    ]
    async with database.read() as session:
        known = await session.execute(
            select(Document.id, Document.source).where(
                Document.kind == DocumentKind.file, or_(*below)
            )
        )
        sources = {row.id: Path(row.source) for row in known}
    gone = {
        document_id: path
        for document_id, path in sources.items()
        if path not in found.files and not any(map(path.is_relative_to, found.unlisted))
    }
    for document_id, path in gone.items():
        await remove(database, index, document_id)
        report.removed.append(path)


async def remove(database: Database, index: Index, document_id: int) -> None:
    """Remove a document and its chunks."""
    async with database.write() as session:
        chunks = await session.scalars(
            delete(Chunk).where(Chunk.document_id == document_id).returning(Chunk.id)
        )
        removed = chunks.all()
        await session.execute(delete(Document).where(Document.id == document_id))
    await index.remove(removed)
