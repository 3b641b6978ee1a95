"""A preparation from the first byte to the last line of the report."""

from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from app.preparation import report
from app.preparation.ask import asker
from app.preparation.speed import measured
from app.settings import Settings
from app.terminal import CommandError, screen
from finetune.prepare.affix import ENDINGS, LAST_ENDING, LAST_SEPARATOR, SEPARATORS
from finetune.prepare.batch import Kind
from finetune.prepare.detect import Format
from finetune.prepare.options import Limits, ReadOptions
from finetune.prepare.plan import Plan, decide
from finetune.prepare.prices import SHIPPED, ModelPrice, find_price, read_prices
from finetune.prepare.reading import Reading, read_files, size_of
from finetune.prepare.tally import Tally
from finetune.prepare.tokens import OPENAI, find_local, load_tokenizer
from finetune.prepare.writing import Written, tally_only, write

DEFAULT_LIMIT = 16_384
"""Of a model that the price table does not know."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the command line says."""

    read: ReadOptions
    is_quiet: bool
    is_dry_run: bool
    output: Path | None
    model: str | None
    max_tokens: int | None
    tokenizer: str | None
    given: dict[str, str | None]
    valid: float | None
    epochs: int
    prices: Path | None
    complaints: Path | None


async def prepare_files(settings: Settings, paths: list[Path], wishes: Wishes) -> None:
    """Read, ask, write and report.

    Raises:
        PrepareError, CommandError: with the way out.
    """
    prices = await measured(settings, _prices(settings, wishes))
    limits = _limits(settings, wishes, prices)
    output = wishes.output or prepared_name(paths[0])
    _refuse_unwritable(output)
    with _bar() as bar:
        reading = _read(paths, wishes, output.parent, bar)
    try:
        _prepare(reading, wishes, limits, prices, output)
    finally:
        reading.close()


def prepared_name(path: Path) -> Path:
    """`FILE_prepared.jsonl` beside the file or the folder."""
    absolute = path.absolute()
    stem = absolute.name if absolute.is_dir() else absolute.stem
    return absolute.parent / f"{stem}_prepared.jsonl"


def _prepare(
    reading: Reading,
    wishes: Wishes,
    limits: Limits,
    prices: list[ModelPrice],
    output: Path,
) -> None:
    report.tell_reading(reading)
    if wishes.complaints:
        _write_complaints(reading, wishes.complaints)
    ask = asker(reading, wishes.given, is_quiet=wishes.is_quiet or wishes.is_dry_run)
    plan = decide(reading, limits, ask)
    report.tell_necessary(reading, plan)
    if wishes.is_quiet or wishes.is_dry_run:
        report.tell_done(plan)
    separator, ending = _marks(reading, plan)
    reading.survey.forget()
    tally = Tally(tokenizer=load_tokenizer(limits.tokenizer), expected=int(plan.kept.sum()))
    written = _write(reading, plan, wishes, output, tally)
    report.tell_tally(reading, plan, tally)
    is_pairs = reading.kind is Kind.pair
    report.tell_costs(tally, prices, limits.model, wishes.epochs, is_pairs)
    screen.print()
    _tell_written(written, wishes)
    report.tell_use(reading, separator, ending, is_done=not wishes.is_dry_run)


def _write(
    reading: Reading, plan: Plan, wishes: Wishes, output: Path, tally: Tally
) -> Written | None:
    """None where nothing is to be written."""
    with _bar() as bar:
        task = bar.add_task("writing", total=int(plan.kept.sum()))

        def move(count: int) -> None:
            bar.update(task, advance=count)

        if wishes.is_dry_run or not _has_news(reading, plan, wishes):
            tally_only(reading, plan, tally, move)
            return None
        return write(reading, plan, output, tally, move, wishes.valid)


def _has_news(reading: Reading, plan: Plan, wishes: Wishes) -> bool:
    """Whether the result would differ from the one file that was given."""
    return (
        plan.changes_anything
        or bool(report.necessary(reading))
        or bool(reading.complaints.count)
        or len(reading.files) > 1
        or wishes.output is not None
        or wishes.valid is not None
        or wishes.read.form != "auto"
        or wishes.read.recipe is not None
        or any(file.format is not Format.jsonl for file in reading.files)
    )


def _tell_written(written: Written | None, wishes: Wishes) -> None:
    if wishes.is_dry_run:
        screen.print("A dry run: nothing was written.")
    elif written is None:
        screen.print("Nothing to mend: the file can be trained on as it is.")
    else:
        for path, count in written.files:
            screen.print(
                f"Wrote {count:,} examples to [bold]{path}[/]", highlight=False, soft_wrap=True
            )


def _marks(reading: Reading, plan: Plan) -> tuple[str, str]:
    """The separator and the ending that the prepared pairs have."""
    if reading.kind is not Kind.pair:
        return "", ""
    [(prompt, completion)] = reading.spill.pick([int(plan.kept.argmax())])
    for column, change in plan.changes:
        if column == "prompt":
            [prompt] = change([prompt])
        else:
            [completion] = change([completion])
    separators, endings = (*SEPARATORS, LAST_SEPARATOR), (*ENDINGS, LAST_ENDING)
    separator = max((mark for mark in separators if prompt.endswith(mark)), key=len, default="")
    names = {remedy.name for remedy, answer in plan.decided if answer == "yes"}
    has_ending = "ending" in names or completion.endswith("\n")
    ending = next((mark for mark in endings if completion.endswith(mark)), "") if has_ending else ""
    return separator, ending


def _read(paths: list[Path], wishes: Wishes, folder: Path, bar: Progress) -> Reading:
    task: TaskID = bar.add_task("reading", total=size_of(paths))
    return read_files(
        paths,
        wishes.read,
        folder=folder,
        on_bytes=lambda count: bar.update(task, advance=count),
        on_file=lambda name: bar.update(task, description=f"reading {name}"),
    )


def _prices(settings: Settings, wishes: Wishes) -> list[ModelPrice]:
    own = settings.home / "prices.toml"
    return read_prices(wishes.prices or (own if own.is_file() else SHIPPED))


def _limits(settings: Settings, wishes: Wishes, prices: list[ModelPrice]) -> Limits:
    """The model's own tokenizer and limit, where they are known."""
    model = wishes.model or settings.base_model
    price = find_price(prices, model)
    if wishes.model and price is None and wishes.max_tokens is None:
        known = ", ".join(each.name for each in prices)
        raise CommandError(
            f"the price table does not know {model}; give --max-tokens as well, or one of {known}"
        )
    tokenizer = wishes.tokenizer or (price.tokenizer if price else "local")
    if tokenizer == "local":
        tokenizer = str(find_local(model, settings.home) or OPENAI[0])
    tokens = wishes.max_tokens or (price.tokens if price else DEFAULT_LIMIT)
    return Limits(model=model, tokenizer=tokenizer, tokens=tokens)


def _refuse_unwritable(output: Path) -> None:
    if not output.parent.is_dir():
        raise CommandError(f"the folder {output.parent} is not there; make it, or give --output")


def _write_complaints(reading: Reading, path: Path) -> None:
    text = "".join(f"{complaint}\n" for complaint in reading.complaints.kept)
    path.write_text(text, encoding="utf-8")
    screen.print(f"Wrote what was left out to {path}", highlight=False)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=screen,
        transient=True,
    )
