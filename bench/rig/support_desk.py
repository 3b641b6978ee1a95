"""A desk of approved replies that is retrained: Nod's own steps, with two ways of answering judged.

A retrain asks each question of the hold-out in eight ways. Here only models are compared, so each
question is asked once of the base model and once of each tuned model, without context; the rest
(review, dataset, job, scores, gate, promotion) is what `nod retrain` does.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select

from app.nod import Nod
from app.pairs import Pair, import_pairs
from bench.rig.support_lines import CHANNEL
from bot.masks import edit_mask, read_default
from bot.review import decide as review
from finetune.announce import Recipients
from finetune.claim import Claim
from finetune.evaluate import Evaluator
from finetune.gate import Compared, Decision, GateOptions, decide
from finetune.outcome import as_note, carry_out
from finetune.progress import Progress
from finetune.promote import candidate_of, live_version, promote
from finetune.questions import CANDIDATE, LIVE, Task, read_questions
from finetune.recipe import Recipe
from finetune.retrain import Retrainer, RetrainOptions
from finetune.run import request_run
from store import (
    Dataset,
    EvaluationItem,
    Example,
    Mode,
    Reply,
    Review,
    Run,
    RunState,
    Split,
    Verdict,
)

WHO = "bench"
CONCURRENCY = 4
Answers = Mapping[str, EvaluationItem]
"""By conversation."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A candidate that waits for its evaluation."""

    run: Run
    dataset: Dataset
    minutes: float
    """From the request to the tuned model: dataset, upload, job."""


async def open_desk(nod: Nod, system_prompt: str, max_tokens: int) -> None:
    """The mask that trains and serves."""
    await nod.wait_for_models()
    async with nod.database.write() as session:
        mask = await read_default(session)
        await edit_mask(
            session, mask.name, who=WHO, system_prompt=system_prompt, max_tokens=max_tokens
        )


async def approve_all(nod: Nod, pairs: Sequence[Pair]) -> None:
    """Import them and approve each, as it is."""
    await import_pairs(nod.database, pairs, channel=CHANNEL, source="the lines")
    async with nod.database.read() as session:
        waiting = await session.scalars(
            select(Reply.id)
            .outerjoin(Review, Review.reply_id == Reply.id)
            .where(Review.id.is_(None))
            .order_by(Reply.id)
        )
        reply_ids = list(waiting)
    for reply_id in reply_ids:
        await review(nod.database, nod.knowledge, reply_id, Verdict.approved, reviewer=WHO)


async def train(nod: Nod, hyperparameters: Mapping[str, Any]) -> Trained:
    """Step a run until its model is there.

    Raises:
        RuntimeError: the run ended without a model.
    """
    started_at = time.perf_counter()
    settings = nod.settings
    recipe = Recipe(
        holdout_share=settings.holdout_share, context="none", budget=nod.answerer.options.budget
    )
    retrainer = Retrainer(
        nod.database,
        nod.knowledge,
        nod.answerer,
        nod.trainer,
        settings.home,
        RetrainOptions(recipe=recipe, poll_s=1.0),
    )
    run = await request_run(
        nod.database,
        trigger="command",
        requested_by=WHO,
        base_model=settings.base_model,
        hyperparameters=dict(hyperparameters),
    )
    while run.state is not RunState.evaluating:
        if not await retrainer.step():
            await asyncio.sleep(1)
        async with nod.database.read() as session:
            run = await session.get_one(Run, run.id)
        if run.state.is_final:
            raise RuntimeError(f"the run is {run.state}: {run.error}")
    async with nod.database.read() as session:
        dataset = await session.get_one(Dataset, run.dataset_id)
    minutes = (time.perf_counter() - started_at) / 60
    return Trained(run=run, dataset=dataset, minutes=minutes)


async def ask(nod: Nod, run: Run, arm: str, mode: Mode) -> dict[str, EvaluationItem]:
    """What one arm answers to every question of the hold-out, with its scores."""
    assert run.dataset_id is not None
    async with nod.database.read() as session:
        candidate, live = await candidate_of(session, run), await live_version(session)
        questions = await read_questions(session, run.dataset_id, at_most=10_000)
    tasks = [Task(arm=arm, mode=mode, question=question) for question in questions]
    evaluator = Evaluator(nod.database, nod.knowledge, nod.answerer, concurrency=CONCURRENCY)
    await evaluator.answer_all(run, tasks, candidate=candidate, live=live)
    async with nod.database.read() as session:
        rows = await session.execute(
            select(Example.conversation_id, EvaluationItem)
            .join(EvaluationItem, EvaluationItem.item == Example.seq)
            .where(
                Example.dataset_id == run.dataset_id,
                Example.split == Split.holdout,
                EvaluationItem.run_id == run.id,
                EvaluationItem.arm == arm,
                EvaluationItem.mode == mode.value,
            )
        )
        return dict(rows.tuples().all())


async def ask_base(nod: Nod, run: Run) -> dict[str, EvaluationItem]:
    return await ask(nod, run, LIVE, Mode.base)


async def ask_candidate(nod: Nod, run: Run) -> dict[str, EvaluationItem]:
    return await ask(nod, run, CANDIDATE, Mode.tuned)


def pair(before: Answers, after: Answers) -> list[Compared]:
    """The questions that both answered, as the gate compares them."""
    return [
        Compared(conversation_id=key, live=before[key].scores, candidate=after[key].scores)
        for key in before
        if key in after
    ]


async def conclude(nod: Nod, compared: Sequence[Compared]) -> Decision:
    """The gate's word; who passes is promoted by it, and who does not is not."""
    decision = await asyncio.to_thread(decide, compared, GateOptions())
    claim = Claim(nod.database, WHO, 60)
    run = await claim.take()
    assert run is not None
    async with nod.database.write() as session:
        live = await live_version(session)
        run.verdict = {**run.verdict, "live_id": live.id if live else None}
        state, reasons = await carry_out(session, run, decision)
        said = {**decision.as_json(), "reasons": reasons}
        progress = Progress(nod.database, claim, Recipients())
        await progress.move(session, run, state, as_note(reasons), verdict={**run.verdict, **said})
    return replace(decision, promote=state is RunState.promoted)


async def promote_by_hand(nod: Nod, run: Run) -> None:
    """What a person may do whatever the gate has said."""
    async with nod.database.write() as session:
        version = await candidate_of(session, run)
        await promote(session, version.id, WHO)
