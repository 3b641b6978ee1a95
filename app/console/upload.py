"""The upload on the knowledge page: a file comes whole, is read, and only then takes its place.

Size is checked by the guard while the bytes come in (see app.console.guard); what cannot be read
is told and leaves nothing behind, not even in place of an older file of its name.
"""

import asyncio
import re
import time
import uuid
from pathlib import Path

from nicegui import events, ui
from nicegui.element import Element
from nicegui.elements.upload_files import FileUpload

from app.console.pieces import box, icon, tag
from app.console.visit import Visit
from knowledge.errors import UnreadableDocumentError
from knowledge.reading import MAX_BYTES, READABLE, read_file
from store import UserRole

KINDS = "Markdown, text, HTML, PDF, Word (.docx), Excel (.xlsx) or CSV, {n} MB at most"
MOST_LINES = 20
STALE_S = 3600.0
"""A part that is older was left by a killed process."""


class UploadError(ValueError):
    """The file was not taken; the message names it and says why."""


def show_upload(visit: Visit) -> None:
    """The place to drop files, and what became of each; each is a document once it was read."""
    say = visit.say
    upload = ui.upload(multiple=True, auto_upload=True, max_file_size=MAX_BYTES).props("flat")
    upload.props["accept"] = ",".join(sorted(READABLE))
    upload.props["aria-label"] = say("Upload documents")
    with upload.add_slot("header"), box("drop"):
        icon("upload_file")
        tag("strong", say("Drop documents here"))
        choose = box("button", "button", type="button")
        with choose:
            tag("span", say("Choose files"))
        tag("span", say(KINDS, n=MAX_BYTES >> 20), "muted")
        with box(hidden=True):  # the browser's own field, which the button opens
            ui.element("q-uploader-add-trigger")
    # In the browser: it opens its window for files only while it still feels the click.
    choose.on(
        "click",
        js_handler=f"() => getHtmlElement({upload.id}).querySelector('[type=file]').click()",
    )
    with box(role="log", aria_label=say("Uploads")):
        taken = box("taken", "ul")

    async def take(event: events.UploadEventArguments) -> None:
        line = _Line(visit, taken, event.file.name)

        async def ingest() -> None:
            try:
                line.end(await _ingest(visit, event.file))
            except UploadError as error:
                line.end(str(error), is_bad=True)

        try:
            await visit.doing(UserRole.operator, ingest)()
        finally:
            line.end(say("{name} was not read.", name=event.file.name), is_bad=True)
            upload.run_method("removeUploadedFiles")  # or the same file could not come again

    def refuse(event: events.GenericEventArguments) -> None:
        for name in event.args[:MOST_LINES]:
            line = _Line(visit, taken, str(name))
            why = say(KINDS, n=MAX_BYTES >> 20)
            line.end(say("{name} was not taken: only {why}", name=name, why=why), is_bad=True)

    upload.on_upload(take)
    names = "each => (each.file ?? each).name"
    upload.on("rejected", refuse, js_handler=f"all => emit(all.map({names}))")
    upload.on("failed", refuse, js_handler=f"told => emit(told.files.map({names}))")


class _Line:
    """What became of one file; the newest stands first."""

    def __init__(self, visit: Visit, taken: Element, name: str) -> None:
        self._is_over = False
        with taken:
            self._frame = box("", "li")
        self._frame.move(taken, 0)
        with self._frame:
            self._icon = icon("hourglass_empty")
            self._text = tag("span", visit.say("Reading {name}…", name=name))

    def end(self, text: str, *, is_bad: bool = False) -> None:
        """The outcome; the first one counts."""
        if self._is_over:
            return
        self._is_over = True
        self._text.text = text
        self._icon.props(f"name={'error_outline' if is_bad else 'check'}")
        self._frame.classes("bad" if is_bad else "good")


async def _ingest(visit: Visit, file: FileUpload) -> str:
    path = await keep(visit.nod.settings.home / "uploads", file)
    report = await visit.nod.knowledge.ingest([path])
    if why := report.failed.get(path):
        raise UploadError(f"{path.name}: {why}")
    return visit.say("{name} was read. Chunks: {n}", name=path.name, n=report.chunks)


async def keep(folder: Path, file: FileUpload) -> Path:
    """Store an upload under its own name, made harmless; the same name is the same document.

    Raises:
        UploadError: it cannot be read or stored; what was there before is there still.
    """
    name = re.sub(r"[^\w.\- ]", "_", Path(file.name).name).lstrip(". ")[-120:] or "unnamed"
    part = folder / f".{uuid.uuid4().hex}{Path(name).suffix}"
    try:
        await asyncio.to_thread(_clear, folder)
        await file.save(part)
        await asyncio.to_thread(read_file, part)
        return (await asyncio.to_thread(part.replace, folder / name)).resolve()
    except UnreadableDocumentError as error:
        raise UploadError(f"{name}: {error}") from None
    except OSError as error:
        raise UploadError(f"{name} cannot be stored: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


def _clear(folder: Path) -> None:
    """Make the folder, and remove what a killed process left half-stored."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in folder.glob(".*"):
        if part.is_file() and part.stat().st_mtime < time.time() - STALE_S:
            part.unlink(missing_ok=True)
