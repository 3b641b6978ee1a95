"""`nod dataset`: the frozen sets of examples, and what is set aside before it gets into one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy import select

from app.settings import Settings
from app.terminal import run, screen, table, when, whoami
from finetune.export import Format
from store import Dataset, Example

if TYPE_CHECKING:
    from finetune.difference import Difference

dataset = typer.Typer(help="The frozen sets of examples.", no_args_is_help=True)

Version = Annotated[int, typer.Argument(metavar="VERSION", help="From `nod dataset list`.")]
Replies = Annotated[list[int], typer.Argument(metavar="REPLY...", help="From `nod dataset aside`.")]
SHOWN = 8


@dataset.command("list")
def list_() -> None:
    """Show every version: what it is for, counts, hash and when it was frozen."""
    run(_list)


@dataset.command()
def show(version: Version) -> None:
    """Show one version: its recipe, what was left out and replaced, facts that expire.

    Example: nod dataset show 2
    """
    run(lambda settings: _show(settings, version))


@dataset.command()
def diff(before: Version, after: Version) -> None:
    """Show what one version has and another has not.

    Example: nod dataset diff 3 4
    """
    run(lambda settings: _diff(settings, before, after))


@dataset.command()
def export(
    version: Version,
    to: Annotated[Path, typer.Option(metavar="DIR", help="A folder; made where it is missing.")],
    format_: Annotated[
        Format, typer.Option("--format", help="What the other trainer reads.")
    ] = Format.openai,
) -> None:
    """Write a version as another trainer reads it: a file for train, one for holdout.

    ShareGPT, Alpaca and LLaMA-Factory: each record ends with the answer to learn; train on that
    alone (LLaMA-Factory: mask_history: true).

    Examples:

      nod dataset export 4 --to out/

      nod dataset export 4 --format llamafactory --to LLaMA-Factory/data/nod
    """
    run(lambda settings: _export(settings, version, format_, to))


@dataset.command()
def check() -> None:
    """Look now at what was approved, and set aside what looks like poison.

    The next retrain does it too. Answers unlike all others, which take embeddings to find, it finds
    alone.
    """
    run(_check)


@dataset.command()
def aside() -> None:
    """Show approved replies that wait for a second look, with the reasons."""
    run(_aside)


@dataset.command()
def release(replies: Replies) -> None:
    """Find replies right after all: looked up again, and learnt from the next dataset on.

    Example: nod dataset release 33 34
    """
    run(lambda settings: _decide(settings, replies, is_right=True))


@dataset.command()
def strike(replies: Replies) -> None:
    """Reject replies after all: they are neither learnt nor looked up.

    Example: nod dataset strike 33
    """
    run(lambda settings: _decide(settings, replies, is_right=False))


async def _list(settings: Settings) -> None:
    from app.nod import open_store

    shown = table("Version#", "For", "Train#", "Hold-out#", "Struck#", "SHA-256", "Frozen (UTC)")
    async with open_store(settings) as database, database.read() as session:
        for each in await session.scalars(select(Dataset).order_by(Dataset.version.desc())):
            shown.add_row(
                str(each.version),
                each.method,
                str(each.train_count),
                str(each.holdout_count),
                str(each.struck_count or "-"),
                each.sha256[:16],
                when(each.created_at),
            )
    screen.print(shown if shown.row_count else "No dataset yet: a retrain freezes one.")


async def _show(settings: Settings, version: int) -> None:
    from app.nod import open_store
    from finetune.difference import get_dataset

    async with open_store(settings) as database, database.read() as session:
        found = await get_dataset(session, version)
        first = await session.scalars(
            select(Example).where(Example.dataset_id == found.id).order_by(Example.id).limit(SHOWN)
        )
        lines = list(first)
    shown = table("", "", title=f"Dataset v{found.version} for {found.method}")
    shown.add_row("SHA-256", found.sha256)
    shown.add_row("frozen (UTC)", when(found.created_at))
    shown.add_row("lines", f"{found.train_count} to train on, {found.holdout_count} held out")
    if found.struck_at is not None:
        why = f"{found.struck_count}, last {when(found.struck_at)}: somebody was forgotten"
        shown.add_row("struck", why)
    _add_rows(shown, found.report)
    screen.print(shown, highlight=False)
    recipe = table("", "", title="Recipe")
    _add_rows(recipe, _flat(found.recipe))
    screen.print(recipe, highlight=False)
    if expiring := found.report.get("expiring"):
        screen.print(
            f"Facts that expire are trained ({_in_words(expiring)}): better looked up, in "
            f"documents that one can change. NOD_TRAIN_EXPIRING=false leaves them out.",
            soft_wrap=True,
        )
    _show_lines("First lines", lines)


def _add_rows(shown: Table, values: dict[str, Any]) -> None:
    for name, value in values.items():
        shown.add_row(name.replace("_", " "), escape(_in_words(value)))


async def _diff(settings: Settings, before: int, after: int) -> None:
    from app.nod import open_store
    from finetune.difference import compare, get_dataset

    async with open_store(settings) as database, database.read() as session:
        old, new = [await get_dataset(session, version) for version in (before, after)]
        found = await compare(session, old, new)
    screen.print(
        f"v{before} -> v{after}, in lines: {len(found.added)} more, {len(found.removed)} fewer, "
        f"{found.same} the same."
    )
    _show_difference(found)


def _show_difference(found: "Difference") -> None:
    if found.recipe:
        shown = table("Recipe", "Before", "After")
        for key, (old, new) in found.recipe.items():
            shown.add_row(key, escape(_in_words(old)), escape(_in_words(new)))
        screen.print(shown, highlight=False)
    _show_lines("Only after", found.added[:SHOWN], len(found.added))
    _show_lines("Only before", found.removed[:SHOWN], len(found.removed))


def _show_lines(title: str, lines: list[Example], of: int | None = None) -> None:
    if not lines:
        return
    shown = table("Side", "Question", "Answer", title=title)
    for line in lines:
        shown.add_row(line.split, escape(_cut(line.question)), escape(_cut(line.answer)))
    screen.print(shown, highlight=False)
    if of is not None and of > len(lines):
        screen.print(f"... and {of - len(lines)} more")


async def _export(settings: Settings, version: int, format_: Format, to: Path) -> None:
    from app.nod import open_store
    from finetune.difference import get_dataset
    from finetune.export import export as write

    async with open_store(settings) as database:
        async with database.read() as session:
            found = await get_dataset(session, version)
        for path, count in (await write(database, found, format_, to)).items():
            screen.print(f"{path}: {count} records", highlight=False, soft_wrap=True)


async def _check(settings: Settings) -> None:
    from app.nod import open_store
    from finetune.second_look import check as look_again

    async with open_store(settings) as database:
        count = await look_again(database)
    screen.print(f"{count} approved replies looked at.")
    await _aside(settings)


async def _aside(settings: Settings) -> None:
    from app.nod import open_store
    from finetune.second_look import read_aside

    shown = table("Reply#", "Why", "Question", "Answer", "Approved by")
    async with open_store(settings) as database, database.read() as session:
        for each in await read_aside(session):
            why = "\n".join(f"{reason.kind}: {reason.why}" for reason in each.reasons)
            said = (_cut(each.question), _cut(each.answer), each.reviewer)
            shown.add_row(str(each.reply_id), escape(why), *map(escape, said))
    if not shown.row_count:
        screen.print("Nothing waits for a second look.")
        return
    screen.print(shown, highlight=False)
    screen.print("nod dataset release REPLY... or nod dataset strike REPLY...")


async def _decide(settings: Settings, replies: list[int], *, is_right: bool) -> None:
    from app.nod import open_store
    from finetune.second_look import release as let_in
    from finetune.second_look import strike as reject

    async with open_store(settings) as database:
        # What a running Nod looks up follows within a minute.
        decide = let_in if is_right else reject
        count = await decide(database, None, replies, whoami())
    screen.print(f"{count} {'released' if is_right else 'struck'}.")


def _flat(recipe: dict[str, Any]) -> dict[str, Any]:
    mask = recipe.get("mask") or {}
    rest = {key: value for key, value in recipe.items() if key not in ("mask", "method")}
    return {**rest, "mask": mask.get("name", "")} if mask else rest


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_in_words(each)}" for key, each in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "-" if value is None else str(value)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 70 else f"{line[:69]}…"


def add_to(app: typer.Typer) -> None:
    app.add_typer(dataset, name="dataset", rich_help_panel="Teach")
