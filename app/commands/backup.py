"""`nod backup`: all that cannot be made again, in one file."""

import sqlite3
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from app.settings import Settings
from app.terminal import CommandError, run, screen

MODELS = "models"
"""The tuned models; the index of the documents is made anew from the database."""
MODEL_ROWS = "modelserver.sqlite3"


def backup(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Such as nod-2026-11-22.tar.gz.")],
) -> None:
    """Write the database and the tuned models into one file, also while Nod runs.

    To restore, unpack it into an empty NOD_HOME and run nod reindex. A PostgreSQL database is
    backed up with pg_dump instead.

    Example: nod backup nod.tar.gz
    """
    run(lambda settings: _backup(settings, path))


async def _backup(settings: Settings, path: Path) -> None:
    database = settings.home / "nod.db"
    if settings.database_url:
        raise CommandError("NOD_DATABASE_URL is set: back that database up with its own tools")
    if not database.exists():
        raise CommandError(f"there is no database in {settings.home} yet")
    if path.exists():
        raise CommandError(f"{path} exists already; give another name")
    if not path.parent.is_dir():
        raise CommandError(f"the folder {path.parent} is not there; make it, or give another path")
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.unlink(missing_ok=True)
    try:
        unfinished.touch(mode=0o600)  # customers' words are in it, from the first byte on
        with (
            tempfile.TemporaryDirectory(dir=settings.home) as folder,
            tarfile.open(unfinished, "w:gz") as archive,
        ):
            _add_database(archive, database, "nod.db", Path(folder))
            models = settings.home / MODELS
            if models.exists():
                # The rows first: what they name was on disk before them.
                if (models / MODEL_ROWS).exists():
                    name = f"{MODELS}/{MODEL_ROWS}"
                    _add_database(archive, models / MODEL_ROWS, name, Path(folder))
                archive.add(models, MODELS, filter=_leave_out)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    size_mb = path.stat().st_size / 1e6
    shown = f"{size_mb:.1f} MB" if size_mb >= 1 else f"{size_mb * 1e3:.0f} kB"
    screen.print(f"{path}: {shown}", highlight=False)


def _add_database(archive: tarfile.TarFile, source: Path, name: str, folder: Path) -> None:
    """One consistent state, while others write."""
    target = folder / source.name
    with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)
    archive.add(target, name)


def _leave_out(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Base models come with the installation, or from where they were had; rows are in already."""
    left_out = (f"{MODELS}/bases", f"{MODELS}/{MODEL_ROWS}")
    return None if member.name.startswith(left_out) else member


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel="Operate")(backup)
