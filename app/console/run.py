"""One run: watch the loss fall, read what the gate decided and why."""

from dataclasses import dataclass
from typing import Any

from nicegui import ui
from sqlalchemy import select

from app.console.curve import draw_curve
from app.console.lineage import lineage_link
from app.console.pieces import (
    box,
    button,
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
    page = box("stack")

    async def show(story: Story) -> None:
        page.clear()
        with page:
            _show_story(visit, story)

    await visit.live(lambda: read_story(visit, run_id), show)()


def _show_story(visit: Visit, story: Story) -> None:
    say, run = visit.say, story.run
    with heading(say("Run {n}", n=run.id)):
        state_chip(visit, run.state)
        lineage_link(visit, "run", run.id)
        if run.is_active:
            _cancel_button(visit, run)
    _show_steps(visit, run)
    if run.error:
        kind = "problem" if run.state is RunState.failed else "note"
        tag("p", run.error, kind, role="status")
    show_verdict(visit, run)
    _show_curve(visit, story.events)
    with box("grid"):
        with box("card stack"):
            tag("h2", say("About this run"))
            facts(_about(visit, story))
        with box("card stack"):
            tag("h2", say("What happened"))
            _show_events(story.events)


def _cancel_button(visit: Visit, run: Run) -> None:
    async def cancel() -> None:
        await cancel_run(visit.database, run.id, visit.user.name)

    asked = run.cancel_asked_by is not None
    button(
        visit.say("Ending…") if asked else visit.say("Cancel the run"),
        visit.doing(UserRole.operator, cancel),
        kind="danger",
        picture="stop_circle",
        is_off=asked or not visit.may(UserRole.operator),
    )


def _show_steps(visit: Visit, run: Run) -> None:
    now = STEPS.index(run.state) if run.state in STEPS else len(STEPS)
    if run.state in (RunState.failed, RunState.cancelled, RunState.skipped):
        return
    with box("steps", "ol"):
        for place, state in enumerate(STEPS):
            kind = "done" if place < now else "now" if place == now else ""
            tag("li", visit.say(state.value), kind, aria_current="step" if place == now else None)


def _about(visit: Visit, story: Story) -> list[tuple[str, object]]:
    say, run, dataset = visit.say, story.run, story.dataset
    return [
        (say("Asked by"), f"{say(run.trigger)} · {run.requested_by}"),
        (say("Base model"), run.base_model),
        (say("Dataset"), f"v{dataset.version} · {dataset.sha256[:12]}" if dataset else None),
        (say("To train on"), dataset.train_count if dataset else None),
        (say("Held out"), dataset.holdout_count if dataset else None),
        (say("Job"), run.job_id),
        (say("Job's status"), run.job_status),
        (say("Tuned model"), run.tuned_model),
        (say("Tokens trained"), f"{run.trained_tokens:,}" if run.trained_tokens else None),
        (say("Cost"), f"{run.cost:.2f}" if run.cost else None),
        (say("Started"), f"{run.created_at:%Y-%m-%d %H:%M} UTC"),
        (say("Took"), took(run)),
    ]


def _show_curve(visit: Visit, events: tuple[RunEvent, ...]) -> None:
    train, valid = _points(events, "train_loss"), _points(events, "valid_loss")
    if not train and not valid:
        return
    say = visit.say
    last = f"{train[-1][1]:.3f}" if train else "–"
    with box("card curve stack"):
        with box("row"):
            tag("h2", say("Loss"))
            with box("legend last"):
                tag("span", say("Training: {loss}", loss=last))
                if valid:
                    tag("span", say("Validation: {loss}", loss=f"{valid[-1][1]:.3f}"), "valid")
        label = say("Training loss by step, now {loss}", loss=last)
        ui.html(draw_curve(train, valid, label=label), sanitize=False)


def _points(events: tuple[RunEvent, ...], name: str) -> list[tuple[float, float]]:
    return [
        (float(event.data["step"]), float(event.data[name]))
        for event in events
        if isinstance(event.data.get(name), int | float)
        and isinstance(event.data.get("step"), int | float)
    ]


def _show_events(events: tuple[RunEvent, ...]) -> None:
    told = [event for event in events if "train_loss" not in event.data][-EVENTS:]
    with box("events", "ul", tabindex="0"):
        for event in reversed(told):
            with box(event.level, "li"):
                tag("time", f"{event.created_at:%H:%M:%S}", "muted")
                tag("span", event.message)


def state_chip(visit: Visit, state: RunState) -> None:
    chip(visit.say(state.value), state.value if state.is_final else "active")


def took(row: Any) -> str:
    if row.ended_at is None:
        return "…"
    minutes, seconds = divmod(int((row.ended_at - row.created_at).total_seconds()), 60)
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"
