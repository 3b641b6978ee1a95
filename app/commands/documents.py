"""`nod ingest`, `nod import`, `nod reindex`: what the bot can look up, and what it may learn."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.settings import Settings
from app.terminal import FAILED, run, screen, table

if TYPE_CHECKING:
    from knowledge.ingest import IngestReport

PANEL = "Teach"


def ingest(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="Files, or folders with all below them.")
    ],
) -> None:
    """Give the bot documents to look up: Markdown, text, HTML, PDF, DOCX, CSV and XLSX.

    What has not changed is skipped; of a folder, what has gone from it is removed. A table with
    columns for questions and answers holds pairs; any other is looked up row by row.

    Examples:

      nod ingest docs/

      nod ingest handbook.pdf faq.xlsx
    """
    # The report tells what could not be read; a log would say it a second time.
    run(lambda settings: _ingest(settings, paths), log_level="error")


def import_(
    path: Annotated[Path, typer.Argument(metavar="PAIRS", help="A .jsonl or .csv file.")],
) -> None:
    """Put question-and-answer pairs into the review queue, for a person to approve.

    Nothing is learned from them before that. Importing a file twice adds nothing.

    A line of JSONL: {"question": "...", "answer": "...", "phrasings": ["..."]}

    CSV: columns question and answer, named in the first line.

    Example:

      nod import old-tickets.jsonl
    """
    run(lambda settings: _import(settings, path))


def reindex() -> None:
    """Embed everything again: after another NOD_EMBEDDING_MODEL, or a lost index.

    No text is lost, they are in the database. It takes as long as it did at first.

    Example: nod reindex
    """
    run(_reindex)


async def _ingest(settings: Settings, paths: list[Path]) -> None:
    from app.nod import open_nod
    from knowledge.ingest import IngestProgress

    async with open_nod(settings, "ingest") as nod:
        with screen.status("Waiting for the model server..."):
            await nod.wait_for_models()
        with _bar() as bar:
            task = bar.add_task("reading")

            def show(progress: IngestProgress) -> None:
                text = f"{progress.step} {progress.name}".strip()
                bar.update(task, description=text, completed=progress.done, total=progress.total)

            report = await nod.knowledge.ingest(paths, show)
            # An ingest that was killed may have left embeddings of what has gone.
            report.waiting = await nod.knowledge.sync()
    _tell(report)
    if report.failed:
        raise typer.Exit(FAILED)


async def _import(settings: Settings, path: Path) -> None:
    from app.nod import open_store
    from app.pairs import import_pairs, read_pairs

    pairs = read_pairs(path)
    async with open_store(settings) as database:
        added = await import_pairs(database, pairs, channel="import", source=path.name)
    known = len(pairs) - added
    waits = "1 pair waits" if added == 1 else f"{added} pairs wait"
    were = "1 was" if known == 1 else f"{known} were"
    screen.print(
        f"{waits} for review{f', {were} there already' if known else ''}; "
        f"open the console to approve."
    )


async def _reindex(settings: Settings) -> None:
    from app.nod import open_nod

    async with open_nod(settings, "reindex", may_rebuild_index=True) as nod:
        with screen.status("Waiting for the model server..."):
            await nod.wait_for_models()
        with _bar() as bar:
            task = bar.add_task("embedding")
            waiting = await nod.knowledge.reindex(
                lambda done, total: bar.update(task, completed=done, total=total)
            )
    screen.print(f"{waiting} chunks still wait for an embedding." if waiting else "Done.")
    if waiting:
        raise typer.Exit(FAILED)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=screen,
        transient=True,
    )


def _tell(report: "IngestReport") -> None:
    shown = table("", "Files#")
    for name in ("added", "changed", "unchanged", "removed", "ignored", "failed"):
        count = len(getattr(report, name))
        if count:
            shown.add_row(name, str(count))
    screen.print(shown)
    for path, reason in report.failed.items():
        screen.print(
            f"[red]{escape(str(path))}[/]: {escape(reason)}", soft_wrap=True, highlight=False
        )
    waiting = f", {report.waiting} wait for an embedding" if report.waiting else ""
    screen.print(f"{report.chunks} new chunks in {report.duration_s:.1f} s{waiting}.")


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(ingest)
    app.command("import", rich_help_panel=PANEL)(import_)
    app.command(rich_help_panel=PANEL)(reindex)
