"""Reading: files of whatever format become the survey and the spill, in one pass."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from finetune.prepare.batch import Kind
from finetune.prepare.complaints import Complaints
from finetune.prepare.detect import CHATS, MARKDOWN, Detected, Format, detect_binary, detect_text
from finetune.prepare.errors import PrepareError, UnreadableFileError
from finetune.prepare.options import ReadOptions
from finetune.prepare.readers.json_items import read_json
from finetune.prepare.readers.jsonl import read_jsonl
from finetune.prepare.readers.markdown import read_markdown
from finetune.prepare.readers.table import read_table
from finetune.prepare.readers.text import read_text
from finetune.prepare.recipes import find_recipe
from finetune.prepare.rows import Rows
from finetune.prepare.shape import Shaper
from finetune.prepare.signing import Signer
from finetune.prepare.source import OnBytes, Source, open_source
from finetune.prepare.spill import Spill
from finetune.prepare.survey import Survey

OnFile = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class FileRead:
    """One file that was read."""

    name: str
    format: Format
    encoding: str
    sheet: str | None = None
    other_sheets: tuple[str, ...] = ()
    examples: int = 0


@dataclass(kw_only=True)
class Reading:
    """All that is known after the first pass."""

    survey: Survey
    spill: Spill
    signer: Signer
    shaper: Shaper
    complaints: Complaints
    files: list[FileRead] = field(default_factory=list)

    @property
    def kind(self) -> Kind:
        return self.shaper.kind or Kind.pair

    def close(self) -> None:
        self.signer.close()
        self.spill.close()


class ChatExportError(PrepareError):
    """An exported chat: it becomes pairs to review, and never goes straight into training."""


def read_files(
    paths: Sequence[Path],
    options: ReadOptions,
    *,
    folder: Path,
    on_bytes: OnBytes = lambda _count: None,
    on_file: OnFile = lambda _name: None,
) -> Reading:
    """Read every file; one that cannot be read is reported, and the others go on.

    Args:
        folder: where there is room for a file of the size of the text.

    Raises:
        ChatExportError: a file is an exported chat.
        PrepareError: there is no such recipe.
    """
    complaints = Complaints()
    shaper = Shaper(
        complaints=complaints,
        prompt_column=options.prompt_column,
        completion_column=options.completion_column,
        kind={"prompt": Kind.pair, "chat": Kind.chat}.get(options.form),
        is_forced=options.form == "prompt",
    )
    spill = Spill(folder)
    reading = Reading(
        survey=Survey(), spill=spill, signer=Signer(spill), shaper=shaper, complaints=complaints
    )
    try:
        for path in files_below(paths):
            on_file(path.name)
            try:
                _read_file(path, options, reading, on_bytes)
            except UnreadableFileError as error:
                complaints.add(str(path), "", str(error))
            except OSError as error:
                complaints.add(str(path), "", f"cannot be opened: {error.strerror or error}")
        reading.survey.finish()
        reading.survey.signatures = reading.signer.finish()
    except BaseException:
        reading.close()
        raise
    return reading


def files_below(paths: Sequence[Path]) -> Iterator[Path]:
    """The files themselves, and the Markdown in folders, in the order of their names."""
    for path in paths:
        if path.is_dir():
            found = sorted(each for each in path.rglob("*") if each.suffix.lower() in MARKDOWN)
            yield from (each for each in found if each.is_file())
        else:
            yield path


def size_of(paths: Sequence[Path]) -> int:
    """Bytes to read, for a progress bar."""
    total = 0
    for path in files_below(paths):
        with suppress(OSError):
            total += path.stat().st_size
    return total


def look_at(path: Path) -> tuple[Detected, Source | None]:
    """What a file is, and the source to read it from where it is text.

    Raises:
        UnreadableFileError, OSError
    """
    if (binary := detect_binary(path)) is not None:
        return Detected(format=binary), None
    source = open_source(path)
    return detect_text(source), source


def _read_file(path: Path, options: ReadOptions, reading: Reading, on_bytes: OnBytes) -> None:
    detected, source = look_at(path)
    if detected.format in CHATS:
        raise ChatExportError(
            f"{path} is a {detected.format}: people's chats become pairs for a person to review, "
            f"and are never trained on directly. Run `nod prepare --to-review {path}`"
        )
    sheet: str | None = None
    others: tuple[str, ...] = ()
    if source is None:
        from finetune.prepare.readers.excel import choose_sheet, read_excel, sheets_of

        sheet = choose_sheet(path, options.sheet)
        others = tuple(name for name in sheets_of(path) if name != sheet)
        rows = read_excel(path, reading.complaints, sheet=sheet)
    else:
        source = Source(path=path, encoding=source.encoding, on_bytes=on_bytes)
        rows = _read_text(source, detected, options, reading.complaints)
    if options.recipe:
        rows = find_recipe(options.recipe).convert(
            rows, path.name, reading.complaints, as_chat=options.form == "chat"
        )
    before = len(reading.survey)
    reading.survey.begin_file(path.name, "row {}" if source is None else "line {}")
    try:
        _take(rows, path.name, reading)
    finally:
        reading.files.append(
            FileRead(
                name=path.name,
                format=detected.format,
                encoding=source.encoding if source else "",
                sheet=sheet,
                other_sheets=others,
                examples=len(reading.survey) - before,
            )
        )


def _take(rows: Iterator[Rows], name: str, reading: Reading) -> None:
    place = reading.survey.parts[-1].place.format
    for some in rows:
        batch = reading.shaper.shape(some, name, place)
        reading.survey.add(batch)
        reading.spill.add(batch)
        reading.signer.follow()


def _read_text(
    source: Source, detected: Detected, options: ReadOptions, complaints: Complaints
) -> Iterator[Rows]:
    match detected.format:
        case Format.jsonl:
            return read_jsonl(source, complaints)
        case Format.json:
            return read_json(source, complaints, key=detected.key)
        case Format.csv | Format.tsv:
            return read_table(source, complaints, delimiter=detected.delimiter)
        case Format.markdown:
            return read_markdown(source, complaints, code=options.code)
        case _:
            return read_text(source, complaints)
