"""Freezes, trains, evaluates and promotes, with the run on the screen."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.live import Live

from app.demo.ask import CONCURRENCY
from app.demo.report import Report
from app.demo.story import Story
from app.nod import Nod
from app.options import make_gate
from app.terminal import CommandError, screen
from finetune.recipe import Recipe
from finetune.retrain import Retrainer, RetrainOptions
from finetune.run import request_run
from finetune.trial import TrialOptions
from store import Dataset, Run, RunState

EVALUATION_ITEMS = 14


async def retrain(nod: Nod, report: Report, epochs: int, rate: float, *, who: str) -> Run:
    """`rate` is a multiple of the learning rate that the trainer would choose."""
    settings = nod.settings
    options = RetrainOptions(
        recipe=Recipe(holdout_share=settings.holdout_share, budget=nod.answerer.options.budget),
        trial=TrialOptions(gate=make_gate(settings), items=EVALUATION_ITEMS),
        concurrency=CONCURRENCY,
        poll_s=1.0,
    )
    retrainer = Retrainer(
        nod.database, nod.knowledge, nod.answerer, nod.trainer, settings.home, options
    )
    run = await request_run(
        nod.database,
        trigger="command",
        requested_by=who,
        base_model=settings.base_model,
        hyperparameters={"n_epochs": epochs, "learning_rate_multiplier": rate},
    )
    story = Story()
    with Live(get_renderable=story.render, console=screen, refresh_per_second=2):
        while run.is_active:
            with _state_clock(report, run.state):
                if not await retrainer.step():
                    await asyncio.sleep(0.5)
                run = await story.follow(nod, run.id, options.trial.items)
    if run.state not in (RunState.promoted, RunState.refused):
        raise CommandError(f"the run is {run.state}: {run.error}")
    async with nod.database.read() as session:
        dataset = await session.get_one(Dataset, run.dataset_id)
    report.dataset = {
        "version": dataset.version,
        "sha256": dataset.sha256,
        "train": dataset.train_count,
        "holdout": dataset.holdout_count,
        "report": dataset.report,
    }
    report.run = {
        "state": run.state,
        "trained_tokens": run.trained_tokens,
        "epochs": epochs,
        "losses": story.losses,
        "verdict": run.verdict,
    }
    return run


@contextmanager
def _state_clock(report: Report, state: RunState) -> Iterator[None]:
    started_at = time.perf_counter()
    yield
    spent = report.seconds.get(state, 0.0) + time.perf_counter() - started_at
    report.seconds[state] = round(spent, 1)
