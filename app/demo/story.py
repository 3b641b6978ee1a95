"""The run on the screen while it goes on."""

from collections.abc import Sequence

import plotext
from rich.console import Group, RenderableType
from rich.text import Text
from sqlalchemy import func, select

from app.nod import Nod
from app.terminal import screen
from finetune.questions import plan_evaluation
from store import EvaluationItem, Run, RunEvent, RunState


class Story:
    """The run on the screen: its lines, the loss curve, and how far the evaluation is."""

    def __init__(self) -> None:
        self.losses: list[tuple[int, float]] = []
        self._valid: list[tuple[int, float]] = []
        self._lines: list[str] = []
        self._last_id = 0
        self._evaluated: tuple[int, int] | None = None
        self._state = RunState.collecting

    async def follow(self, nod: Nod, run_id: int, items: int) -> Run:
        async with nod.database.read() as session:
            run = await session.get_one(Run, run_id)
            events = await session.scalars(
                select(RunEvent)
                .where(RunEvent.run_id == run_id, RunEvent.id > self._last_id)
                .order_by(RunEvent.id)
            )
            for event in events:
                self._take(event)
            if run.state is RunState.evaluating:
                plan = await plan_evaluation(session, run, items)
                done = select(func.count()).where(EvaluationItem.run_id == run_id)
                self._evaluated = (await session.scalar(done) or 0, plan.total)
            self._state = run.state
        return run

    def _take(self, event: RunEvent) -> None:
        self._last_id = event.id
        step, data = event.data.get("step"), event.data
        if step is not None and "train_loss" in data:
            self.losses.append((int(step), float(data["train_loss"])))
            if data.get("valid_loss") is not None:
                self._valid.append((int(step), float(data["valid_loss"])))
        elif event.provider_id is None:
            self._lines.append(event.message)

    def render(self) -> RenderableType:
        parts: list[RenderableType] = [Text(f"  {line}") for line in self._lines]
        if self.losses:
            parts.append(Text.from_ansi(_plot(self.losses, self._valid)))
        if self._state is RunState.evaluating and self._evaluated:
            done, total = self._evaluated
            parts.append(Text(f"  evaluating: {done} of {total} answers", style="cyan"))
        elif not self._state.is_final:
            parts.append(Text(f"  {self._state} ...", style="cyan"))
        return Group(*parts)


def _plot(losses: Sequence[tuple[int, float]], valid: Sequence[tuple[int, float]]) -> str:
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(min(screen.width - 4, 76), 12)
    plotext.plot(*zip(*losses, strict=True), label=f"train loss {losses[-1][1]:.2f}")
    if valid:
        plotext.plot(*zip(*valid, strict=True), label=f"hold-out loss {valid[-1][1]:.2f}")
    plotext.xlabel("step")
    return str(plotext.build())
