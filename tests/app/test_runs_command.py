"""`nod runs`: what it draws fits where it is shown."""

from io import StringIO

import pytest
from rich.console import Console

from app.commands import runs
from app.terminal import screen

BOARD = {
    "retrieval": {
        "items": 30,
        "chrf": 24.294,
        "similarity": 0.27161,
        "facts": 0.13333,
        "refusal": 0.36667,
        "length": 0.71743,
        "language": 1.0,
        "median_ms": 31.0,
        "prompt_tokens": 2803,
        "completion_tokens": 442,
    }
}


def _drawn(width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(screen, "width", width)
    console = Console(file=StringIO(), width=width)
    console.print(runs.show_scoreboard(BOARD))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    return [line for line in written.splitlines() if line.startswith("retrieval")]


def test_the_scores_stand_in_one_table_where_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = _drawn(120, monkeypatch)
    assert " ".join(row.split()) == "retrieval 30 24.29 0.2716 0.1333 0.3667 0.7174 1 31 2803 442"


def test_no_figure_of_the_scores_is_cut_in_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measures, costs = _drawn(60, monkeypatch)
    assert " ".join(measures.split()) == "retrieval 30 24.29 0.27 0.13 0.37 0.72 1.00"
    assert " ".join(costs.split()) == "retrieval 31 2803 442"


def test_a_loss_that_is_drawn_into_a_file_has_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    written = StringIO()
    monkeypatch.setattr(runs, "screen", Console(file=written, width=80))
    runs._draw_loss([{"step": 1, "train_loss": 2.0}, {"step": 2, "train_loss": 1.0}])
    assert "training loss by step" in written.getvalue()
    assert "\x1b" not in written.getvalue()
