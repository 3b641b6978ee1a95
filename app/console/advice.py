"""Advice: is tuning worth it here, or a prompt, or looking up, enough?"""

from app.console.layout import add_page
from app.console.pieces import box, chip, empty, heading, link, table, tag
from app.console.verdict import show_board
from app.console.visit import Desk, Visit
from finetune.advice import NEEDS, WAYS, Advice, NoEvaluationError, advise


def add(desk: Desk) -> None:
    add_page(desk, "/advice", "Advice", _show)


async def _show(visit: Visit) -> None:
    say = visit.say
    link(say("All models"), "/models", "muted back")
    heading(say("Advice"), say("Is tuning worth it here? The held-out questions answer."))
    try:
        advice = await advise(visit.database, visit.nod.settings.gate_confidence)
    except NoEvaluationError:
        empty(
            "balance",
            say("Nothing has been measured yet"),
            say("Retrain once: it asks the held-out questions in every mode."),
        )
        return
    with box("card stack"):
        tag("h2", _summary(visit, advice))
        tag("p", say(NEEDS[advice.best]))
        if advice.caveat:
            tag(
                "p",
                say("Only {n} held-out conversations were asked.", n=advice.conversations)
                + " "
                + say("Approve replies of more, 50 at least, before you rely on it."),
                "note",
            )
        _show_steps(visit, advice)
        show_board(visit, advice.scoreboard)
        link(say("Run {n}", n=advice.run.id), f"/runs/{advice.run.id}")


def _summary(visit: Visit, advice: Advice) -> str:
    worth = "Tuning is worth it here" if advice.is_tuning_worth_it else "Tuning is not worth it yet"
    return f"{visit.say(worth)}: {visit.say(WAYS[advice.best])}"


def _show_steps(visit: Visit, advice: Advice) -> None:
    """From the cheapest way to the dearest, each held against the best before it."""
    say = visit.say
    headers = (
        say("Mode"), say("Against"), say("Gain"), say("From"), say("To"), say("facts"),
        say("Tokens"), say("Worth it"),
    )  # fmt: skip
    with table(headers, label=say("What each way adds"), numbers=(2, 3, 4, 5, 6)):
        for step in advice.steps:
            gain = step.gain
            with box("", "tr"):
                tag("td", say(step.way))
                tag("td", say(step.against))
                for value in (gain.mean, gain.low, gain.high):
                    tag("td", f"{value:+.1f}", "number")
                tag("td", f"{step.facts.mean:+.2f}" if step.facts else "–", "number")
                tag("td", f"{step.tokens:+.0f}", "number")
                with box("", "td"):
                    word, kind = ("yes", "sent") if step.is_worth_it else ("not shown", "plain")
                    chip(say(word), kind)
