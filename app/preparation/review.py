"""To review: what was read goes into the review queue, and teaches nothing before a person nods."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import typer
from pydantic import ValidationError
from rich.markup import escape

from app.nod import open_store
from app.pairs import Pair, Said, import_pairs
from app.settings import Settings
from app.terminal import CommandError, asking, screen, table
from finetune.prepare.batch import Batch
from finetune.prepare.complaints import Complaints
from finetune.prepare.detect import CHATS, Format
from finetune.prepare.errors import UnreadableFileError
from finetune.prepare.exchange import Exchange
from finetune.prepare.options import ReadOptions
from finetune.prepare.readers.telegram import read_telegram
from finetune.prepare.readers.wechat import read_wechat
from finetune.prepare.reading import files_below, look_at, read_files
from finetune.prepare.threads import ThreadReport, find_exchanges

SHOWN = 8
CHANNEL = "import"


@dataclass(frozen=True, kw_only=True)
class ReviewWishes:
    """What the command line says."""

    read: ReadOptions
    is_quiet: bool
    is_dry_run: bool
    output: Path | None
    answerers: frozenset[str]


@dataclass(kw_only=True)
class Found:
    """What is there to review."""

    pairs: list[Pair] = field(default_factory=list)
    complaints: Complaints = field(default_factory=Complaints)
    threads: ThreadReport = field(default_factory=ThreadReport)


async def put_to_review(settings: Settings, paths: Sequence[Path], wishes: ReviewWishes) -> None:
    """Find pairs, show some, and put them before the reviewers, or into a file.

    Raises:
        CommandError: there are none, or nobody said yes.
    """
    found = find_pairs(paths, wishes)
    _tell(found)
    if not found.pairs:
        raise CommandError("there is no question with an answer in what was given")
    if wishes.is_dry_run:
        screen.print("A dry run: nothing was put into the queue.")
    elif wishes.output is not None:
        _write(found.pairs, wishes.output)
    elif wishes.is_quiet or _is_wanted(len(found.pairs)):
        async with open_store(settings) as database:
            source = ", ".join(path.name for path in paths)
            added = await import_pairs(database, found.pairs, channel=CHANNEL, source=source)
        known = len(found.pairs) - added
        waits = "waits" if added == 1 else "wait"
        were = f", {known:,} {'was' if known == 1 else 'were'} there already" if known else ""
        screen.print(f"{_pairs(added)} {waits} for review{were}; open the console to approve.")


def find_pairs(paths: Sequence[Path], wishes: ReviewWishes) -> Found:
    """Exported chats by their threads, other files by their rows."""
    found = Found()
    for path in files_below(paths):
        try:
            detected, source = look_at(path)
        except (UnreadableFileError, OSError) as error:
            found.complaints.add(str(path), "", str(error))
            continue
        if source is None or detected.format not in CHATS:
            _take_rows(path, wishes.read, found)
            continue
        if detected.format is Format.telegram:
            messages = read_telegram(source, found.complaints)
        else:
            messages = read_wechat(source, found.complaints, delimiter=detected.delimiter)
        exchanges = find_exchanges(messages, found.threads, answerers=wishes.answerers)
        for exchange in exchanges:
            _add(found, path.name, exchange.place, _as_pair(exchange, path.name))
    return found


def _take_rows(path: Path, options: ReadOptions, found: Found) -> None:
    """The rows of a file as they are: separators are for training, not for people."""
    reading = read_files([path], options, folder=path.absolute().parent)
    try:
        for complaint in reading.complaints.kept:
            found.complaints.add(complaint.file, complaint.where, complaint.reason)
        for batch in reading.spill:
            for number, values in zip(batch.numbers, _rows(batch), strict=True):
                _add(found, path.name, f"row {number}", values)
    finally:
        reading.close()


def _rows(batch: Batch) -> Iterator[dict[str, object]]:
    if batch.lines is None:
        for prompt, completion in zip(batch.prompts, batch.completions, strict=True):
            yield {"question": prompt, "answer": completion}
        return
    roles = {"user": "customer", "assistant": "person"}
    for line in batch.lines:
        given = line.get("messages") or [*line["input"]["messages"], *line["preferred_output"]]
        said = [each for each in given if each["role"] in roles and each["content"]]
        history = [{"role": roles[each["role"]], "text": each["content"]} for each in said[:-2]]
        asked, answered = said[-2]["content"], said[-1]["content"]
        yield {"question": asked, "answer": answered, "history": history}


def _as_pair(exchange: Exchange, file: str) -> dict[str, object]:
    return {
        "question": exchange.question,
        "answer": exchange.answer,
        "id": exchange.id,
        "history": [Said(role=each.role, text=each.text) for each in exchange.history],
        "note": f"from {file}: {exchange.place} ({exchange.reason})",
    }


def _add(found: Found, file: str, place: str, values: dict[str, object]) -> None:
    try:
        found.pairs.append(Pair.model_validate(values))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, problem["loc"]))
        found.complaints.add(file, place, f"{key}: {problem['msg']}")


def _tell(found: Found) -> None:
    if found.threads.messages:
        facts = table("", "Number#")
        facts.add_row("messages read", f"{found.threads.messages:,}")
        facts.add_row("questions with an answer", f"{found.threads.exchanges:,}")
        facts.add_row("questions without", f"{found.threads.unanswered:,}")
        screen.print(facts)
    for complaint in found.complaints.kept[:SHOWN]:
        screen.print(f"  [yellow]left out[/] {escape(str(complaint))}", highlight=False)
    if found.complaints.count > SHOWN:
        screen.print(f"  and {found.complaints.count - SHOWN:,} more")
    for pair in islice(found.pairs, SHOWN):
        screen.print()
        for said in pair.history:
            screen.print(f"  [dim]{said.role}: {_line(said.text)}[/]", highlight=False)
        screen.print(f"  [bold]{_line(pair.question)}[/]", highlight=False)
        screen.print(f"  [green]{_line(pair.answer)}[/]", highlight=False)
    if len(found.pairs) > SHOWN:
        screen.print(f"\n  and {len(found.pairs) - SHOWN:,} more")
    screen.print()


def _line(text: str) -> str:
    flat = " ".join(text.split())
    return escape(flat if len(flat) <= 160 else f"{flat[:160]}…")


def _is_wanted(count: int) -> bool:
    with asking("nothing is in the queue. -q says yes"):
        return typer.confirm(f"Put {_pairs(count)} into the review queue?", default=True)


def _write(pairs: Sequence[Pair], path: Path) -> None:
    lines = (pair.model_dump_json(exclude_defaults=True) for pair in pairs)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    screen.print(f"Wrote {_pairs(len(pairs))} to {path}; `nod import {path}` puts them to review.")


def _pairs(count: int) -> str:
    return "1 pair" if count == 1 else f"{count:,} pairs"
