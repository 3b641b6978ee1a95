"""Who is forgotten while a run works with what they wrote is in none of its rows afterwards.

On SQLite one writer waits for the other; on PostgreSQL both are at work at once.
"""

import asyncio
import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import select

from bot.forgetting import ask_to_forget
from finetune import files
from finetune.dataset import freeze
from finetune.erase import erase
from finetune.evaluate import keep_answer
from finetune.files import write_whole
from finetune.judge import Judge, Preference
from finetune.questions import CANDIDATE, LIVE
from finetune.trial import Trial
from store import (
    Database,
    EvaluationItem,
    Example,
    Forgetting,
    ModelVersion,
    Run,
    Split,
    conversation_id,
)
from tests.finetune.shop import Shop, approve, approve_many
from tests.finetune.test_dataset import HELD_OUT, IN_TRAIN, PLAIN, freeze_now, make
from tests.finetune.test_forget import SECRET, ask, everything_stored
from tests.finetune.test_retrain import request


async def forget(database: Database) -> None:
    async with database.write() as session:
        await erase(session, (await session.scalars(select(Forgetting))).one())


async def asked_of(database: Database, address: str, arm: str) -> EvaluationItem:
    """An answer of an evaluation, to what this customer asked."""
    async with database.read() as session:
        run = (await session.scalars(select(Run))).one()
        key = conversation_id("web", address)
        line = (
            await session.scalars(
                select(Example).where(
                    Example.conversation_id == key, Example.split == Split.holdout
                )
            )
        ).one()
    return EvaluationItem(
        run_id=run.id, arm=arm, mode="auto", item=line.seq, question=line.question,
        reference=line.answer, output=arm, way="tuned", scores={},
    )  # fmt: skip


async def evaluate_with(database: Database) -> None:
    """A run whose hold-out has what a customer wrote who wants to be forgotten."""
    await approve_many(database)
    await approve(database, f"A {SECRET}?", f"The {SECRET} is.", address=HELD_OUT)
    dataset = await freeze_now(database)
    async with database.write() as session:
        session.add(Run(trigger="command", base_model="m", dataset_id=dataset.id))
    await ask(database, HELD_OUT)


async def test_while_a_dataset_is_frozen(any_database: Database) -> None:
    await approve_many(any_database)
    await approve(any_database, f"A {SECRET}?", f"The {SECRET} is.", address=IN_TRAIN)
    await ask(any_database, IN_TRAIN)
    lines = await make(any_database)
    async with any_database.write() as session:
        await freeze(session, lines, PLAIN)
        erasing = asyncio.create_task(forget(any_database))
        await asyncio.sleep(0.3)
    await erasing
    assert SECRET not in await everything_stored(any_database)


async def test_while_an_answer_to_them_is_kept(any_database: Database) -> None:
    await evaluate_with(any_database)
    item = await asked_of(any_database, HELD_OUT, CANDIDATE)
    async with any_database.write() as session:
        await keep_answer(session, item)
        await session.flush()
        erasing = asyncio.create_task(forget(any_database))
        await asyncio.sleep(0.3)
    await erasing
    assert SECRET not in await everything_stored(any_database)


async def test_while_a_dataset_is_written_to_disk(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines are read, the conversation is erased, and only then they are written."""
    await approve_many(database)
    await approve(database, f"A {SECRET}?", f"The {SECRET} is.", address=IN_TRAIN)
    await ask(database, IN_TRAIN)
    dataset = await freeze_now(database)
    loop, written = asyncio.get_running_loop(), []

    def write_late(path: Path, text: str) -> None:
        if not written:
            asyncio.run_coroutine_threadsafe(forget(database), loop).result()
        written.append(text)
        write_whole(path, text)

    monkeypatch.setattr(files, "write_whole", write_late)
    path = await files.write_file(database, dataset, Split.train, tmp_path)
    assert SECRET in written[0]
    assert SECRET not in path.read_text()
    assert len(path.read_text().splitlines()) == dataset.train_count - 1


def test_a_file_that_finds_no_room_leaves_no_piece_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "datasets" / "train.jsonl", "words of a customer")
    assert list((tmp_path / "datasets").iterdir()) == []


async def test_while_a_judge_thinks(database: Database) -> None:
    await evaluate_with(database)
    live, candidate = [await asked_of(database, HELD_OUT, arm) for arm in (LIVE, CANDIDATE)]

    async def compare(*_: object) -> Preference:
        await forget(database)
        return Preference(value=1.0, said="2, then 1")

    judge = cast(Judge, SimpleNamespace(compare=compare, model="judge"))
    progress: Any = SimpleNamespace(recipients=None)
    options: Any = SimpleNamespace(gate=None)
    trial = Trial(database, cast(Any, None), progress, options, judge)
    async with database.read() as session:
        run = (await session.scalars(select(Run))).one()
    await trial._judge_pair(run, judge, live, candidate)
    assert SECRET not in await everything_stored(database)


@pytest.mark.parametrize(("side", "state"), [("holdout", "promoted"), ("train", "refused")])
async def test_while_a_model_is_trained_it_is_tainted_by_what_it_learns_alone(
    shop: Shop, side: str, state: str
) -> None:
    """What is held out teaches nothing: nobody has to pay for another training."""
    run = await request(shop.database)
    while run.job_id is None:
        await shop.retrainer.step()
        async with shop.database.read() as session:
            run = await session.get_one(Run, run.id)
    async with shop.database.read() as session:
        ids = await session.scalars(
            select(Example.conversation_id).where(Example.split == Split(side)).order_by(Example.id)
        )
        last = ids.all()[-1]
    async with shop.database.write() as session:
        await session.run_sync(ask_to_forget, last, "olga")
    await forget(shop.database)
    run = await shop.run_to_the_end()
    assert run.state == state, run.verdict or run.error
    async with shop.database.read() as session:
        version = (await session.scalars(select(ModelVersion))).one()
    assert (version.tainted_at is not None) == (side == "train")
