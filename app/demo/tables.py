"""What came of it: some answers before and after, and the two tables."""

from rich.table import Table

from app.demo.report import Report
from app.demo.screen import say
from app.terminal import screen, table
from store import Mode, Run


def show_end(report: Report, run: Run) -> None:
    say("6", "What came of it")
    for example in report.examples[:3]:
        screen.print(f"  [bold]{example['question']}[/]", highlight=False)
        for when in ("before", "after"):
            told = example[when]
            screen.print(f"    [dim]{when}, {told['way']}:[/] {told['text']}", highlight=False)
    screen.print()
    screen.print(_answers_table(report))
    screen.print()
    screen.print(_holdout_table(run))
    screen.print()
    for reason in run.verdict["reasons"]:
        screen.print(f"  {reason}", highlight=False)
    clocks = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in report.seconds.items())
    screen.print(f"\n  {run.trained_tokens or 0:,} tokens trained; {clocks}", highlight=False)


def _answers_table(report: Report) -> Table:
    shown = table(
        *("mode", "chrF before#", "after#", "similarity before#", "after#", "admits it#"),
        *("ms#", "tokens in#", "out#"),
        title="Questions in new words, before and after (never trained on)",
    )
    for mode in Mode:
        old, new = report.before.get(mode), report.after[mode]
        shown.add_row(
            mode,
            f"{old['chrf']:.1f}" if old else "-",
            f"{new['chrf']:.1f}",
            f"{old['similarity']:.3f}" if old else "-",
            f"{new['similarity']:.3f}",
            f"{new['admits_unknown']} of {new['off_topic']}",
            str(new["median_ms"]),
            str(new["prompt_tokens"]),
            str(new["completion_tokens"]),
        )
    return shown


def _holdout_table(run: Run) -> Table:
    shown = table(
        *("mode", "chrF#", "similarity#", "ms#", "tokens in#", "out#"),
        title="What the gate saw: the hold-out",
    )
    for mode, row in run.verdict["scoreboard"].items():
        shown.add_row(
            "auto of before" if mode == "live auto" else mode,
            f"{row['chrf']:.1f}",
            f"{row['similarity']:.3f}",
            str(row["median_ms"]),
            str(round(row["prompt_tokens"] / row["items"])),
            str(round(row["completion_tokens"] / row["items"])),
        )
    return shown
