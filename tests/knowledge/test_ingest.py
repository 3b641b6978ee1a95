"""After an ingest the store is what the files say, whatever it was before."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from knowledge import IngestProgress, Knowledge, NoSuchDocumentError
from knowledge.reading import Content, read_file
from store import Chunk, Database, Document
from store.text import is_clean
from tests.knowledge.conftest import Approve
from tests.knowledge.embedding_endpoint import EmbeddingEndpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    (folder / "deep").mkdir(parents=True)
    (folder / "delivery.md").write_text(
        "# Delivery\nFree in Norway.\n\n# Returns\nWithin 100 days."
    )
    (folder / "deep" / "faq.csv").write_text("question,answer\nIs it firm?,Medium firm.\n")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / ".git").mkdir()
    (folder / ".git" / "hidden.md").write_text("hidden")
    return folder


async def texts(database: Database) -> list[str]:
    async with database.read() as session:
        return list(await session.scalars(select(Chunk.text).order_by(Chunk.id)))


async def test_a_folder_is_read_with_all_that_is_below_it(
    knowledge: Knowledge, folder: Path
) -> None:
    progress: list[IngestProgress] = []
    report = await knowledge.ingest([folder], progress.append)
    assert {path.name for path in report.added} == {"delivery.md", "faq.csv"}
    assert [path.name for path in report.ignored] == ["picture.png"]
    assert (report.chunks, report.waiting, report.failed) == (3, 0, {})
    assert [(step.step, step.done, step.total) for step in progress] == [
        ("reading", 1, 2),
        ("reading", 2, 2),
        ("embedding", 3, 3),
    ]
    [found, *_] = await knowledge.retrieve("free delivery to Norway")
    assert (found.title, found.text) == ("Delivery", "Free in Norway.")
    assert found.source == str(folder / "delivery.md")
    match = await knowledge.nearest_approved("is it firm")
    assert match is not None
    assert (match.answer, match.reply_id) == ("Medium firm.", None)


async def test_what_has_not_changed_is_skipped(
    knowledge: Knowledge, folder: Path, endpoint: EmbeddingEndpoint
) -> None:
    await knowledge.ingest([folder])
    asked = len(endpoint.asked)
    report = await knowledge.ingest([folder])
    assert len(report.unchanged) == 2
    assert (report.added, report.changed, report.removed, report.chunks) == ([], [], [], 0)
    assert len(endpoint.asked) == asked


async def test_of_a_changed_file_only_the_changed_chunks_are_embedded(
    knowledge: Knowledge, folder: Path, endpoint: EmbeddingEndpoint, database: Database
) -> None:
    await knowledge.ingest([folder])
    asked = len(endpoint.asked)
    (folder / "delivery.md").write_text(
        "# New\nA third one.\n\n# Returns\nWithin 100 days.\n\n# Delivery\nFree in Chile."
    )
    report = await knowledge.ingest([folder])
    assert [path.name for path in report.changed] == ["delivery.md"]
    assert len(endpoint.asked) - asked == report.chunks == 2
    async with database.read() as session:
        document = await session.scalar(select(Document.id).where(Document.source.endswith(".md")))
        ordered = select(Chunk.text).where(Chunk.document_id == document).order_by(Chunk.seq)
        assert list(await session.scalars(ordered)) == [
            "A third one.",
            "Within 100 days.",
            "Free in Chile.",
        ]
    assert "Free in Norway." not in [hit.text for hit in await knowledge.retrieve("Norway")]


async def test_what_has_gone_is_removed_but_only_below_the_folder(
    knowledge: Knowledge, folder: Path, tmp_path: Path, database: Database
) -> None:
    (tmp_path / "documents-too").mkdir()
    (tmp_path / "documents-too" / "other.txt").write_text("Something else.")
    await knowledge.ingest([tmp_path / "documents-too", folder])
    (folder / "delivery.md").unlink()
    report = await knowledge.ingest([folder])
    assert [path.name for path in report.removed] == ["delivery.md"]
    assert await texts(database) == ["Something else.", "Medium firm."]
    assert [hit.text for hit in await knowledge.retrieve("Norway delivery returns days")] == [
        hit.text
        for hit in await knowledge.retrieve("Norway delivery returns days")
        if hit.text in ("Something else.", "Medium firm.")
    ]


async def test_nothing_is_removed_from_a_folder_that_cannot_be_looked_into(
    knowledge: Knowledge, folder: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "deep" / "deeper").mkdir()
    (folder / "deep" / "deeper" / "price.txt").write_text("Beds cost 300.")
    (folder / "deep-not").mkdir()
    (folder / "deep-not" / "gone.txt").write_text("Gone soon.")
    await knowledge.ingest([folder])
    (folder / "deep-not" / "gone.txt").unlink()
    scandir = os.scandir

    def fail(path: Path | str) -> Any:
        if str(path) == str(folder / "deep"):
            raise OSError(errno.EIO, "Input/output error", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", fail)
    report = await knowledge.ingest([folder])
    assert [path.name for path in report.removed] == ["gone.txt"]
    assert list(report.failed) == [folder / "deep"]
    assert "Input/output error; what is known from it is kept" in report.failed[folder / "deep"]
    assert {"Medium firm.", "Beds cost 300."} <= set(await texts(database))
    monkeypatch.undo()
    assert (await knowledge.ingest([folder])).failed == {}


async def test_a_folder_that_cannot_be_reached_is_reported_and_keeps_what_is_known(
    knowledge: Knowledge, folder: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await knowledge.ingest([folder])
    look = Path.stat

    def fail(path: Path, **how: Any) -> os.stat_result:
        if path == folder:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return look(path, **how)

    monkeypatch.setattr(Path, "stat", fail)
    report = await knowledge.ingest([folder, folder / "deep"])
    assert report.failed == {folder: "cannot be opened: Permission denied"}
    assert (len(report.unchanged), report.removed) == (1, [])
    assert len(await texts(database)) == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
async def test_a_pipe_is_refused_and_nobody_waits_for_its_end(
    knowledge: Knowledge, folder: Path
) -> None:
    os.mkfifo(folder / "pipe.txt")
    report = await knowledge.ingest([folder])
    assert report.failed == {folder / "pipe.txt": "is a pipe or a device; give a file"}
    assert len(report.added) == 2


async def test_a_file_whose_name_no_database_keeps_is_reported(
    knowledge: Knowledge, folder: Path, database: Database
) -> None:
    try:
        (folder / os.fsdecode("价格.txt".encode("gb18030"))).write_text("Beds cost 300.")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    report = await knowledge.ingest([folder])
    [(path, reason)] = report.failed.items()
    assert (is_clean(str(path)), reason) == (True, "its name is not in UTF-8; rename it")
    assert (len(report.added), report.removed) == (2, [])
    assert len(await texts(database)) == 3


async def test_a_file_that_goes_while_it_is_read_stops_nothing(
    knowledge: Knowledge, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_and_remove(path: Path, *, max_bytes: int) -> Content:
        content = read_file(path, max_bytes=max_bytes)
        path.unlink()
        return content

    monkeypatch.setattr("knowledge.ingest.read_file", read_and_remove)
    assert len((await knowledge.ingest([folder])).added) == 2
    assert len((await knowledge.ingest([folder])).removed) == 2


async def test_one_bad_file_is_recorded_and_the_rest_goes_on(
    knowledge: Knowledge, folder: Path, database: Database
) -> None:
    (folder / "a.pdf").write_bytes(b"no pdf")
    report = await knowledge.ingest([folder, folder / "missing.md"])
    assert {path.name for path in report.failed} == {"a.pdf", "missing.md"}
    assert len(report.added) == 2
    async with database.read() as session:
        error = await session.scalar(select(Document.error).where(Document.source.endswith(".pdf")))
    assert error is not None
    assert "damaged" in error


async def test_a_file_that_became_bad_keeps_what_was_known_from_it(
    knowledge: Knowledge, folder: Path, database: Database
) -> None:
    await knowledge.ingest([folder])
    good = (folder / "delivery.md").read_bytes()
    (folder / "delivery.md").write_bytes(b"\x00\x01")
    report = await knowledge.ingest([folder])
    assert list(report.failed.values()) == ["the file is binary, not text"]
    assert len(await texts(database)) == 3
    (folder / "delivery.md").write_bytes(good)
    report = await knowledge.ingest([folder])
    assert (len(report.changed), report.chunks) == (1, 0)
    async with database.read() as session:
        assert await session.scalar(select(func.count(Document.error))) == 0


async def test_ingest_without_embeddings_is_finished_by_sync(
    knowledge: Knowledge, folder: Path, endpoint: EmbeddingEndpoint
) -> None:
    endpoint.is_down = True
    report = await knowledge.ingest([folder])
    assert report.waiting == 3
    [found, *_] = await knowledge.retrieve("Norway")
    assert found.similarity is None
    endpoint.is_down = False
    assert await knowledge.sync() == 0


async def test_a_removed_document_is_not_found(
    knowledge: Knowledge, folder: Path, database: Database, approve: Approve
) -> None:
    await knowledge.ingest([folder])
    async with database.read() as session:
        by_source = dict((await session.execute(select(Document.source, Document.id))).all())
    await knowledge.remove_document(by_source[str(folder / "delivery.md")])
    assert await texts(database) == ["Medium firm."]
    with pytest.raises(NoSuchDocumentError, match="reject a reply"):
        await knowledge.remove_document(by_source["approved replies"])
    with pytest.raises(NoSuchDocumentError, match="no document 999"):
        await knowledge.remove_document(999)
