"""A verdict: what the gate found, why it decided so, and the scores of each mode."""

from typing import Any

from app.console.pieces import box, cells, chip, number, table, tag
from app.console.visit import Visit
from finetune.scores import MEASURES
from store import Run

_DIGITS = {"chrf": 1}
"""The others lie between 0 and 1."""


def show_verdict(visit: Visit, run: Run) -> None:
    """Nothing while nothing was decided."""
    say, verdict = visit.say, run.verdict
    reasons, board = verdict.get("reasons") or [], verdict.get("scoreboard") or {}
    if not reasons and not board:
        return
    with box("card stack"):
        tag("h2", say("Verdict"))
        with box("reasons", "ul"):
            for reason in reasons:
                tag("li", visit.retell(str(reason)))
        if findings := verdict.get("findings"):
            _show_findings(visit, findings)
        if board:
            show_board(visit, board)
        if threshold := verdict.get("threshold"):
            sure_when = visit.retell(threshold.get("reason", ""))
            tag("p", say("Sure when: {reason}", reason=sure_when), "muted")


def _show_findings(visit: Visit, findings: list[dict[str, Any]]) -> None:
    """Candidate minus live, by measure, slice and judge, each with its interval."""
    say = visit.say
    headers = (say("Measure"), say("Passes"), say("Gain"), say("From"), say("To"))
    with table(headers, label=say("What the gate weighed"), numbers=(2, 3, 4)):
        for finding in findings:
            gain = finding.get("gain") or {}
            with box("", "tr"):
                tag("td", say(finding["name"]))
                with box("", "td"):
                    word, kind = ("yes", "sent") if finding["passes"] else ("no", "warn")
                    chip(say(word), kind)
                for key in ("mean", "low", "high"):
                    tag("td", f"{gain[key]:+.3f}" if gain else "–", "number")


def show_board(visit: Visit, board: dict[str, Any]) -> None:
    """A row a mode: the measures that were taken, the time, the tokens, the ways."""
    say = visit.say
    taken = [name for name in MEASURES if any(row.get(name) is not None for row in board.values())]
    headers = (
        say("Mode"), say("Questions"), *(say(name) for name in taken), say("Median ms"),
        say("Tokens"), say("Ways"),
    )  # fmt: skip
    numbers = tuple(range(1, len(headers) - 1))
    with table(headers, label=say("Scores by mode"), numbers=numbers):
        for mode, row in board.items():
            tokens = (row.get("prompt_tokens") or 0) + (row.get("completion_tokens") or 0)
            ways = ", ".join(f"{say(way)} {n}" for way, n in (row.get("ways") or {}).items())
            cells(
                say(mode),
                row.get("items"),
                *(number(row.get(name), _DIGITS.get(name, 3)) for name in taken),
                row.get("median_ms"),
                f"{tokens:,}",
                ways,
                numbers=numbers,
            )
