"""The report: what was read, what was done, and what it would cost to train on it."""

from collections.abc import Sequence

import plotext
from rich.markup import escape
from rich.text import Text

from app.terminal import screen, table
from finetune.prepare.batch import Kind
from finetune.prepare.detect import Format
from finetune.prepare.plan import Plan
from finetune.prepare.prices import ModelPrice
from finetune.prepare.reading import Reading
from finetune.prepare.remedies.remedy import shown
from finetune.prepare.tally import Tally

COMPLAINTS = 10
LANGUAGES = 6
_MIN_EXAMPLES = 10


def tell_reading(reading: Reading) -> None:
    """The files, and the rows that were left out of them."""
    files = table("File", "Format", "Encoding", "Examples#")
    for file in reading.files:
        kind = f"{file.format}, sheet {file.sheet}" if file.sheet else str(file.format)
        files.add_row(escape(file.name), escape(kind), file.encoding or "-", f"{file.examples:,}")
    screen.print(files)
    for file in reading.files:
        if file.other_sheets:
            names = ", ".join(file.other_sheets)
            screen.print(f"{file.name} has more sheets ({names}): --sheet chooses one.")
    complaints = reading.complaints
    if complaints.count:
        screen.print(f"\n[yellow]{complaints.count:,} left out:[/]")
    for complaint in complaints.kept[:COMPLAINTS]:
        screen.print(f"  {escape(str(complaint))}", highlight=False, soft_wrap=True)
    if complaints.count > COMPLAINTS:
        screen.print(f"  and {complaints.count - COMPLAINTS:,} more (--complaints FILE has all)")


def tell_necessary(reading: Reading, plan: Plan) -> None:
    """What is done without a question."""
    for said in necessary(reading):
        screen.print(f"[blue]Necessary[/] {escape(said)}", highlight=False)
    for remedy, _ in plan.decided:
        if remedy.is_necessary:
            screen.print(f"[blue]Necessary[/] {escape(remedy.title)}", highlight=False)


def necessary(reading: Reading) -> list[str]:
    """In the order of the old tool: the format, the columns, then what it did not know."""
    said = [
        f"Your format `{form}` will be converted to `JSONL`"
        for form in dict.fromkeys(file.format for file in reading.files)
        if form is not Format.jsonl
    ]
    for name, usual in reading.shaper.renamed.items():
        if name.strip().casefold() == usual:
            said.append(f"Lower case column name to `{usual}`")
        else:
            said.append(f"Read column `{name}` as `{usual}`")
    if reading.shaper.extra:
        names = list(reading.shaper.extra)
        said.append(f"Remove additional columns/keys: {names}")
    for what, count in reading.shaper.mended.items():
        said.append(f"Remove {count} {what}")
    return said


def tell_done(plan: Plan) -> None:
    """What was answered, for `-q` and for a dry run."""
    for remedy, answer in plan.decided:
        if remedy.is_necessary:
            continue
        shown_answer = "" if answer == "yes" else f" [dim]({answer})[/]"
        mark = "green" if answer not in ("no", "keep") else "dim"
        screen.print(
            f"[{mark}]Recommended[/] {escape(remedy.title)}{shown_answer}", highlight=False
        )


def tell_tally(reading: Reading, plan: Plan, tally: Tally) -> None:
    """Examples, tokens by role, their histogram, languages."""
    read = len(reading.survey)
    facts = table("", "Number#")
    facts.add_row("examples", f"{tally.examples:,}")
    facts.add_row("read", f"{read:,}")
    facts.add_row("left out while reading", f"{reading.complaints.count:,}")
    facts.add_row("left out by a remedy", f"{read - int(plan.kept.sum()):,}")
    facts.add_row("one-sided conversations", f"{reading.shaper.one_sided:,}")
    facts.add_row("empty turns", f"{reading.shaper.mended['empty turns']:,}")
    facts.add_row("near-duplicates", f"{plan.near.count if plan.near else 0:,}")
    screen.print()
    screen.print(facts)
    _tell_tokens(tally)
    _tell_languages(tally)
    if tally.examples < _MIN_EXAMPLES:
        screen.print(f"[yellow]Trainers want {_MIN_EXAMPLES} examples at least.[/]")
    elif tally.examples < 100:
        screen.print("A few hundred examples are usual; each doubling tends to help the same.")


def tell_costs(
    tally: Tally, prices: Sequence[ModelPrice], model: str, epochs: int, is_pairs: bool
) -> None:
    """What training costs elsewhere, and how long it takes here."""
    costs = table("Model", "At", "An epoch#", f"{epochs} epochs#", "Longest example#", "Price of")
    for price in sorted(prices, key=lambda each: (each.name != model, each.cost(1_000_000))):
        seconds = price.duration_s(tally.total, epochs)
        costs.add_row(
            escape(price.name),
            escape(price.provider),
            _dollars(price.cost(tally.total)),
            _dollars(price.cost(tally.total, epochs)) if seconds is None else _duration(seconds),
            f"{price.tokens:,}",
            str(price.as_of),
            style="bold" if price.name == model else None,
        )
    screen.print()
    screen.print(costs)
    for price in prices:
        _tell_speed(price)
    if is_pairs:
        screen.print("Pairs are for completion models; chat models take --form chat.", style="dim")


def tell_use(reading: Reading, separator: str, ending: str, *, is_done: bool) -> None:
    """What to remember when the tuned model is asked."""
    if reading.kind is not Kind.pair or not is_done:
        return
    if separator:
        screen.print(
            f"End every prompt with `{shown(separator)}` when you ask the tuned model.",
            highlight=False,
            markup=False,
        )
    if ending:
        screen.print(
            f'Ask with stop=["{shown(ending)}"], so that it ends where it should.',
            highlight=False,
            markup=False,
        )


def _tell_speed(price: ModelPrice) -> None:
    if price.tokens_per_second is None:
        return
    run = price.measured_in_run
    source = "the price table; no run here has trained it yet" if run is None else f"run {run}"
    said = f"{price.tokens_per_second:,.0f} tokens a second, from {source}."
    screen.print(f"Time for {escape(price.name)}: {said}", style="dim", highlight=False)


def _tell_tokens(tally: Tally) -> None:
    tokens = tally.tokens
    shown_ = table("Role", "Turns#", "Tokens#", "Share#")
    for role, count in tokens.items():
        turns = tally.turns.get(role)
        share = f"{count / tally.total:.0%}" if tally.total else "-"
        shown_.add_row(role, f"{turns:,}" if turns else "-", f"{count:,}", share)
    shown_.add_row("all", "", f"{tally.total:,}", "")
    screen.print()
    screen.print(shown_)
    counted = f"Counted with {tally.tokenizer.name}"
    if not tally.is_exact:
        counted += f" in {tally.counted:,} of the examples, ±{tally.error_share:.1%}"
    screen.print(f"{counted}.", style="dim", highlight=False)
    if len(tally.sizes) > 1:
        screen.print()
        screen.print(_histogram(tally.sizes), highlight=False)


def _histogram(sizes: list[int]) -> Text:
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(min(screen.width - 4, 76), 12)
    plotext.hist(sizes, bins=min(30, max(2, len(set(sizes)))))
    plotext.xlabel("tokens an example")
    plotext.ylabel("examples")
    return Text.from_ansi(str(plotext.build()))


def _tell_languages(tally: Tally) -> None:
    counted = sum(tally.languages.values())
    if not counted:
        return
    said = ", ".join(
        f"{name} {count / counted:.0%}" for name, count in tally.languages.most_common(LANGUAGES)
    )
    screen.print(f"Languages: {said}", highlight=False)


def _dollars(amount: float) -> str:
    return f"${amount:,.2f}" if amount >= 0.01 or amount == 0 else f"${amount:.4f}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"
