"""Runs the benches, prints their figures, and keeps them in bench/out/NAME.json.

    python -m bench                  all of them, one after the other
    python -m bench pipeline         only this one

A bench is a module of this folder with `main() -> {"figures": [...]}`. A figure is
`{"name", "value", "unit", "ratio_to"}`, where `ratio_to` names the figure of the same bench that
it is held against, or is None. Figures of two runs, or of two machines, are not compared: the
ratios are what counts.
"""

import argparse
import importlib
import json
import multiprocessing
import os
import platform
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.rig.needs import NotHereError

HERE = Path(__file__).parent
OUT = HERE / "out"
BENCHES = sorted(path.stem for path in HERE.glob("[a-z]*.py"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when every bench ran to its end."""
    console = Console()
    failed = 0
    for name in _choose(arguments):
        console.print(f"[bold]{name}[/] ...")
        try:
            report = _describe_machine() | _run_apart(name)
        except NotHereError as error:
            console.print(f"[yellow]{name} does not run here:[/] {error}", soft_wrap=True)
            failed += bool(arguments or sys.argv[1:])  # who asked for it gets no figures
            continue
        except Exception as error:  # one broken bench must not hide the others' figures
            console.print(f"[red]{name} failed:[/] {escape(repr(error))}")
            failed += 1
            continue
        _write(name, report)
        console.print(_tabulate(name, report["figures"]))
    return 1 if failed else 0


def _choose(arguments: Sequence[str] | None) -> list[str]:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bench", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}")
    chosen: list[str] = parser.parse_args(arguments).bench
    if unknown := set(chosen) - set(BENCHES):
        parser.error(f"there is no bench {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    return chosen or BENCHES


def _run_apart(name: str) -> dict[str, Any]:
    """Runs in a fresh process, so that no bench pays for another's memory or threads."""
    main = importlib.import_module(f"bench.{name}").main  # a child cannot find what is in __main__
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        report: dict[str, Any] = pool.submit(main).result()
        return report


def _describe_machine() -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


def _write(name: str, report: dict[str, Any]) -> None:
    OUT.mkdir(exist_ok=True)
    (OUT / f"{name}.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _tabulate(name: str, figures: Sequence[dict[str, Any]]) -> Table:
    table = Table(title=name, title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("ratio", justify="right")
    values = {figure["name"]: figure["value"] for figure in figures}
    for figure in figures:
        ratio = _ratio(figure, values)
        table.add_row(figure["name"], _shorten(figure["value"]), figure["unit"], ratio)
    return table


def _ratio(figure: dict[str, Any], values: dict[str, float]) -> str:
    other = figure.get("ratio_to")
    if other is None or not values.get(other):
        return ""
    return f"{figure['value'] / values[other]:.2f} x {other}"


def _shorten(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"


if __name__ == "__main__":
    sys.exit(main())
