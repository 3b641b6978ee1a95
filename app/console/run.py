"""One run: watch the loss fall, read what the gate decided and why."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement
from sqlalchemy import select

from app.console.curve import draw_curve
from app.console.lineage import lineage_link
from app.console.pieces import (
    asking_button,
    box,
    chip,
    empty,
    facts,
    heading,
    link,
    tag,
)
from app.console.verdict import show_verdict
from app.console.visit import Visit
from finetune.run import cancel_run
from store import Dataset, Run, RunEvent, RunState, UserRole

EVENTS = 300
Facts = list[tuple[str, object]]
STEPS = (
    RunState.collecting,
    RunState.uploading,
    RunState.training,
    RunState.evaluating,
    RunState.deciding,
)


@dataclass(frozen=True, eq=False)
class Story:
    """A run, its dataset and its events; equal where nothing has happened."""

    run: Run
    dataset: Dataset | None
    events: tuple[RunEvent, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Story) and self._key() == other._key()

    def _key(self) -> tuple[Any, ...]:
        run = self.run
        newest = self.events[-1].id if self.events else 0
        return run.state, run.job_status, run.cancel_asked_by, run.error, newest, run.verdict


async def read_story(visit: Visit, run_id: int) -> Story | None:
    async with visit.database.read() as session:
        run = await session.get(Run, run_id)
        if run is None:
            return None
        events = await session.scalars(
            select(RunEvent).where(RunEvent.run_id == run_id).order_by(RunEvent.id)
        )
        dataset = await session.get(Dataset, run.dataset_id) if run.dataset_id else None
        return Story(run, dataset, tuple(events))


async def show_run(visit: Visit) -> None:
    text = visit.request.path_params["run_id"]
    run_id = int(text) if text.isdigit() and len(text) < 10 else 0
    link(visit.say("All runs"), "/runs", "muted back")
    if await read_story(visit, run_id) is None:
        empty("search_off", visit.say("There is no such run"))
        return
    page = _Page(visit)
    await visit.live(lambda: read_story(visit, run_id), page.show)()


class _Page:
    """The parts, each drawn anew only when it has changed: what one reads or presses stays put."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._seen: dict[TextElement, object] = {}
        with box("stack"):
            self._head, self._verdict, self._curve = box("stack"), box(), box()
            with box("grid"):
                self._about, self._events = box("card stack"), box("card stack")

    async def show(self, story: Story) -> None:
        visit, run = self._visit, story.run
        told = _told(story.events)
        losses = [event.id for event in story.events if "step" in event.data]
        head = (run.state, run.cancel_asked_by, run.error)
        self._part(self._head, head, lambda: _show_head(visit, run))
        self._part(self._verdict, run.verdict, lambda: show_verdict(visit, run))
        self._part(self._curve, (losses, run.state), lambda: _show_curve(visit, story))
        about = _about(visit, story)
        self._part(self._about, about, lambda: _show_about(visit, about))
        self._part(self._events, [event.id for event in told], lambda: _show_events(visit, told))

    def _part(self, part: TextElement, key: object, draw: Callable[[], None]) -> None:
        if self._seen.get(part, self) != key:
            self._seen[part] = key
            part.clear()
            with part:
                draw()


def _show_head(visit: Visit, run: Run) -> None:
    with heading(visit.say("Run {n}", n=run.id)):
        state_chip(visit, run.state)
        lineage_link(visit, "run", run.id)
        if run.is_active:
            _cancel_button(visit, run)
    _show_steps(visit, run)
    if run.error:
        kind = "problem" if run.state is RunState.failed else "note"
        tag("p", visit.retell(run.error), kind, role="status")


def _show_about(visit: Visit, about: Facts) -> None:
    tag("h2", visit.say("About this run"))
    facts(about)


def _cancel_button(visit: Visit, run: Run) -> None:
    say = visit.say

    async def cancel() -> None:
        await cancel_run(visit.database, run.id, visit.user.name)

    if run.cancel_asked_by is not None:
        chip(say("Ending…"), "warn")
        return
    asking_button(
        visit,
        say("Cancel the run"),
        say("Cancel run {n}?", n=run.id),
        say("What it has trained so far is lost; what is live stays live."),
        visit.doing(UserRole.operator, cancel),
        picture="stop_circle",
        kind="danger",
    )


def _show_steps(visit: Visit, run: Run) -> None:
    now = STEPS.index(run.state) if run.state in STEPS else len(STEPS)
    if run.state in (RunState.failed, RunState.cancelled, RunState.skipped):
        return
    with box("steps", "ol"):
        for place, state in enumerate(STEPS):
            kind = "done" if place < now else "now" if place == now else ""
            tag("li", visit.say(state.value), kind, aria_current="step" if place == now else None)


def _about(visit: Visit, story: Story) -> Facts:
    say, run, dataset = visit.say, story.run, story.dataset
    return [
        (say("Asked by"), f"{say(run.trigger)} · {say(run.requested_by)}"),
        (say("Base model"), run.base_model),
        (say("Dataset"), f"v{dataset.version} · {dataset.sha256[:12]}" if dataset else None),
        (say("To train on"), dataset.train_count if dataset else None),
        (say("Held out"), dataset.holdout_count if dataset else None),
        (say("Job"), run.job_id),
        (say("Job's status"), run.job_status if run.is_active else None),
        (say("Tuned model"), run.tuned_model),
        (say("Tokens trained"), f"{run.trained_tokens:,}" if run.trained_tokens else None),
        (say("Cost"), f"{run.cost:.2f}" if run.cost else None),
        (say("Started"), f"{run.created_at:%Y-%m-%d %H:%M} UTC"),
        (say("Took"), took(run)),
    ]


def _show_curve(visit: Visit, story: Story) -> None:
    train, valid = _points(story.events, "train_loss"), _points(story.events, "valid_loss")
    if not train and not valid:
        return
    say = visit.say
    last = f"{train[-1][1]:.3f}" if train else "–"
    done, steps = int(max(train + valid)[0]), _count_steps(story.events)
    with box("card curve stack"):
        with box("row"):
            tag("h2", say("Loss"))
            far = say("Step {n} of {all}", n=done, all=steps) if steps else say("Step {n}", n=done)
            tag("span", far, "muted")
            with box("legend last"):
                tag("span", say("Training: {loss}", loss=last))
                if valid:
                    tag("span", say("Validation: {loss}", loss=f"{valid[-1][1]:.3f}"), "valid")
        label = say("Training loss by step, now {loss}", loss=last)
        # What is still to come is left blank, so that one sees how far it is.
        until = steps if story.run.is_active else done
        ui.html(draw_curve(train, valid, label=label, until=until), sanitize=False)


def _count_steps(events: tuple[RunEvent, ...]) -> int:
    """How many the job takes in all; 0 where the provider does not say."""
    counts = (event.data.get("total_steps") for event in reversed(events))
    return next((int(count) for count in counts if isinstance(count, int | float)), 0)


def _points(events: tuple[RunEvent, ...], name: str) -> list[tuple[float, float]]:
    return [
        (float(event.data["step"]), float(event.data[name]))
        for event in events
        if _is_number(event.data.get(name)) and _is_number(event.data.get("step"))
    ]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and isfinite(value)


def _told(events: tuple[RunEvent, ...]) -> list[RunEvent]:
    """What is worth a line: the steps are in the curve."""
    return [event for event in events if "train_loss" not in event.data][-EVENTS:]


def _show_events(visit: Visit, told: list[RunEvent]) -> None:
    tag("h2", visit.say("What happened"))
    with box("events", "ul", tabindex="0", aria_label=visit.say("What happened")):
        for event in reversed(told):
            with box(event.level, "li"):
                tag("time", f"{event.created_at:%H:%M:%S}", "muted", datetime=event.created_at)
                tag("span", visit.retell(event.message))


def state_chip(visit: Visit, state: RunState) -> None:
    chip(visit.say(state.value), state.value if state.is_final else "active")


def took(row: Any) -> str:
    if row.ended_at is None:
        return "…"
    minutes, seconds = divmod(int((row.ended_at - row.created_at).total_seconds()), 60)
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"
