"""The files of a dataset: written from its rows whenever they are needed, whole or not at all."""

import asyncio
import os
import shutil
from pathlib import Path

import structlog
from sqlalchemy import select

from store import Database, Dataset, Example, Split

log = structlog.get_logger(__name__)


def folder_of(home: Path, version: int) -> Path:
    """Where the files of a version are."""
    return home / "datasets" / f"v{version}"


async def write_file(database: Database, dataset: Dataset, side: Split, home: Path) -> Path:
    """Write one side to HOME/datasets/vN/SIDE.jsonl.

    Who is forgotten while it is written would be in it again: then it is written anew.
    """
    path = folder_of(home, dataset.version) / f"{side}.jsonl"
    written = None
    while (text := await _read(database, dataset, side)) != written:
        await asyncio.to_thread(write_whole, path, text)
        written = text
    return path


async def remove_struck(database: Database, home: Path) -> None:
    """Remove the files that still have lines which were struck out.

    Who forgets removes them on its own machine; another one, where the run was before, has to look.
    """
    async with database.read() as session:
        struck = await session.scalars(select(Dataset).where(Dataset.struck_at.is_not(None)))
        datasets = struck.all()
    for dataset in datasets:
        folder = folder_of(home, dataset.version)
        if folder.is_dir() and not await _is_as_stored(database, dataset, folder):
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            log.info("struck_files_removed", dataset=dataset.version)


async def _is_as_stored(database: Database, dataset: Dataset, folder: Path) -> bool:
    for side in Split:
        path = folder / f"{side}.jsonl"
        if path.exists():
            held = await asyncio.to_thread(path.read_bytes)
            if held != (await _read(database, dataset, side)).encode():
                return False
    return True


async def _read(database: Database, dataset: Dataset, side: Split) -> str:
    async with database.read() as session:
        lines = await session.scalars(
            select(Example.line)
            .where(Example.dataset_id == dataset.id, Example.split == side)
            .order_by(Example.seq)
        )
        return "".join(f"{line}\n" for line in lines)


def write_whole(path: Path, text: str) -> None:
    """Put a text in the place of what a file held, if it held anything."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)  # on a full disk it would take the room that is left
