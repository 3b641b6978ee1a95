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
from nicegui.elements.upload_files import FileUpload

from app.console.visit import Visit
from knowledge.errors import UnreadableDocumentError
from knowledge.reading import MAX_BYTES, READABLE, read_file
from store import UserRole

STALE_S = 3600.0
"""A part that is older was left by a killed process."""


class UploadError(ValueError):
    """The file was not taken; the message names it and says why."""


def show_upload(visit: Visit) -> None:
    """The place to drop files; each is a document once it has been read."""
    say = visit.say
    megabytes = MAX_BYTES >> 20
    kinds = ", ".join(sorted(kind.lstrip(".") for kind in READABLE))
    refusal = say("Not taken: {kinds}, of {n} MB at most.", kinds=kinds, n=megabytes)

    async def take(event: events.UploadEventArguments) -> None:
        async def ingest() -> None:
            visit.tell(say("Reading {name}…", name=event.file.name))
            path = await keep(visit.nod.settings.home / "uploads", event.file)
            report = await visit.nod.knowledge.ingest([path])
            if why := report.failed.get(path):
                raise UploadError(f"{path.name}: {why}")
            visit.tell(say("{name}: {n} chunks", name=path.name, n=report.chunks))

        await visit.doing(UserRole.operator, ingest)()

    upload = ui.upload(
        label=say("Drop files here, or press +"),
        multiple=True,
        auto_upload=True,
        max_file_size=MAX_BYTES,
        on_upload=take,
        on_rejected=lambda: visit.tell(refusal, is_bad=True),
    ).props(f'flat accept="{",".join(sorted(READABLE))}"')
    upload.on("failed", lambda: visit.tell(refusal, is_bad=True), [])  # the server refused it
    upload.props["aria-label"] = say("Upload documents")


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
