"""Knowledge: the documents, new ones by upload, and what retrieval finds for a question."""

import asyncio
from pathlib import Path
from typing import Any

from nicegui import ui
from sqlalchemy import func, select

from app.console.layout import add_page
from app.console.pieces import (
    box,
    button,
    chip,
    dialog_of,
    empty,
    field,
    heading,
    icon,
    table,
    tag,
    when,
)
from app.console.upload import show_upload
from app.console.visit import Desk, Visit
from knowledge.retrieved import Retrieved
from store import Chunk, ChunkKind, Document, DocumentKind, UserRole

FOUND = 5


def add(desk: Desk) -> None:
    add_page(desk, "/knowledge", "Knowledge", _show)


async def _show(visit: Visit) -> None:
    heading(
        visit.say("Knowledge"),
        visit.say("What the bot can look up: documents, and every reply that was approved."),
    )
    _search(visit)
    with box("section"):
        tag("h2", visit.say("Documents"))
        if visit.may(UserRole.operator):
            show_upload(visit)
        rows = box("documents")

    async def show(found: list[Any]) -> None:
        rows.clear()
        with rows:
            _show_documents(visit, found)

    await visit.live(lambda: _read_documents(visit), show)()


async def _read_documents(visit: Visit) -> list[Any]:
    query = (
        select(
            Document.id,
            Document.source,
            Document.kind,
            Document.title,
            Document.size_bytes,
            Document.error,
            Document.updated_at,
            func.count(Chunk.id).label("chunks"),
            func.count(Chunk.indexed_at).label("indexed"),
        )
        .outerjoin(Chunk, Chunk.document_id == Document.id)
        .group_by(Document.id)
        .order_by(Document.kind, Document.title)
    )
    async with visit.database.read() as session:
        return list((await session.execute(query)).all())


def _show_documents(visit: Visit, found: list[Any]) -> None:
    say = visit.say
    if not found:
        empty("menu_book", say("No documents yet"), say("Upload one, or use nod ingest PATH."))
        return
    headers = (say("Title"), say("Chunks"), say("Size"), say("Read"), "")
    with table(headers, label=say("Documents"), numbers=(1, 2), lesser=(2, 3)):
        for row in found:
            with box("", "tr"):
                with box("", "td"):
                    if row.kind is DocumentKind.file:
                        tag("strong", row.title)
                        tag("div", Path(row.source).name, "muted")
                    else:
                        tag("strong", say(row.title))
                    if row.error:
                        tag("p", row.error, "problem")
                with box("number", "td"):
                    tag("span", str(row.chunks))
                    if row.indexed < row.chunks:
                        chip(say("{n} wait for an embedding", n=row.chunks - row.indexed), "warn")
                tag("td", _size(row.size_bytes) if row.size_bytes else "–", "number")
                with box("", "td"):
                    when(visit, row.updated_at)
                with box("", "td"), box("actions"):
                    if row.kind is DocumentKind.file and visit.may(UserRole.operator):
                        _remove_button(visit, row)


def _remove_button(visit: Visit, row: Any) -> None:
    say = visit.say
    with dialog_of(say("Remove {title}?", title=row.title)) as dialog:
        is_upload = Path(row.source).parent == visit.nod.settings.home / "uploads"
        more = "The uploaded file goes too." if is_upload else "The file itself stays where it is."
        tag("p", f"{say('The bot can no longer look it up.')} {say(more)}")

        async def remove() -> None:
            dialog.close()
            await visit.nod.knowledge.remove_document(row.id)
            if is_upload:
                await asyncio.to_thread(Path(row.source).unlink, missing_ok=True)
            visit.tell(say("Removed"))

        with box("actions"):
            button(say("Remove"), visit.doing(UserRole.operator, remove), kind="danger")
            button(say("Cancel"), dialog.close, kind="quiet")
    button("", dialog.open, kind="quiet", picture="delete", hint=say("Remove"))


def _search(visit: Visit) -> None:
    say = visit.say
    with box("card stack"):
        line, found = box("ask"), box("found", role="status")
    with line:
        question = field(
            say("What would the bot find?"),
            ui.input(placeholder=say("Ask as a customer would")).props("clearable maxlength=500"),
        )

        async def seek() -> None:
            asked = (question.value or "").strip()
            found.clear()
            if not asked:
                return
            chunks = await visit.nod.knowledge.retrieve(asked, limit=FOUND)
            with found:
                _show_found(visit, chunks)

        act = visit.doing(UserRole.reviewer, seek)
        question.on("keydown.enter", act, [])
        button(say("Look up"), act, picture="search")


def _show_found(visit: Visit, chunks: list[Retrieved]) -> None:
    if not chunks:
        tag("p", visit.say("Nothing: the bot would say that it does not know."), "muted")
    with box("hits", "ol"):
        for chunk in chunks:
            with box("", "li"):
                with box("row"):
                    icon("question_answer" if chunk.kind is ChunkKind.pair else "description")
                    tag("strong", chunk.question or chunk.title)
                    if chunk.similarity is not None:
                        chip(f"{chunk.similarity:.2f}", "plain", title=visit.say("Similarity"))
                tag("p", chunk.text, "passage")


def _size(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.1f} kB" if count < 1024**2 else f"{count / 1024**2:.1f} MB"
