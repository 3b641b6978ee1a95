"""Asks the held-out questions in a mode, and judges what came back."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from app.demo.screen import progress as show_progress
from app.nod import Nod
from app.sample import QUESTIONS
from bot.draft import Draft
from bot.masks import read_default
from finetune.promote import live_version
from finetune.scores import chrf
from store import Mode, Way

QUESTIONS_ASKED, OFF_TOPIC_ASKED = 12, 4
CONCURRENCY = 4


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One answer to a held-out question; `reference` is none where none exists."""

    question: str
    reference: str | None
    text: str
    way: Way
    chrf: float | None
    similarity: float | None
    total_ms: float
    prompt_tokens: int
    completion_tokens: int


def read_questions() -> list[dict[str, Any]]:
    """Evenly spread over the facts, then some that have no answer here."""
    lines = QUESTIONS.read_text(encoding="utf-8").splitlines()
    every = [json.loads(line) for line in lines if line.strip()]
    known = [question for question in every if question["answer"]]
    unknown = [question for question in every if not question["answer"]]
    return _spread(known, QUESTIONS_ASKED) + _spread(unknown, OFF_TOPIC_ASKED)


def _spread(rows: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    return [rows[n * len(rows) // count] for n in range(min(count, len(rows)))]


async def ask_all(
    nod: Nod, questions: Sequence[dict[str, Any]], modes: Sequence[Mode]
) -> dict[Mode, list[Asked]]:
    slots = asyncio.Semaphore(CONCURRENCY)
    with show_progress() as progress:

        async def ask(mode: Mode, question: dict[str, Any], task: Any) -> Asked:
            async with slots:
                asked = await _ask(nod, mode, question)
            progress.advance(task)
            return asked

        answers = {}
        for mode in modes:
            task = progress.add_task(mode, total=len(questions))
            answers[mode] = await asyncio.gather(*(ask(mode, q, task) for q in questions))
        return answers


async def _ask(nod: Nod, mode: Mode, question: dict[str, Any]) -> Asked:
    async with nod.database.read() as session:
        mask = await read_default(session)
        version = await live_version(session)
    draft = await nod.answerer.answer(
        question["question"], mode=mode, mask=mask, model_version=version
    )
    return await _judge(nod, question, draft)


async def _judge(nod: Nod, question: dict[str, Any], draft: Draft) -> Asked:
    reference = question["answer"]
    similarity = None
    if reference:
        [similarity] = await nod.knowledge.similarities([(draft.text, reference)])
    return Asked(
        question=question["question"],
        reference=reference,
        text=draft.text,
        way=draft.way,
        chrf=chrf(draft.text, reference) if reference else None,
        similarity=similarity,
        total_ms=draft.total_ms or 0.0,
        prompt_tokens=draft.prompt_tokens or 0,
        completion_tokens=draft.completion_tokens or 0,
    )


def summarize(asked: Sequence[Asked]) -> dict[str, Any]:
    """Means over the questions that have an answer; of the others, how many are admitted."""
    known = [one for one in asked if one.reference]
    unknown = [one for one in asked if not one.reference]
    return {
        "questions": len(known),
        "chrf": round(fmean(one.chrf or 0.0 for one in known), 1),
        "similarity": round(fmean(one.similarity or 0.0 for one in known), 3),
        "admits_unknown": sum(one.way is Way.unknown for one in unknown),
        "off_topic": len(unknown),
        "median_ms": round(median(one.total_ms for one in asked)),
        "prompt_tokens": round(fmean(one.prompt_tokens for one in asked)),
        "completion_tokens": round(fmean(one.completion_tokens for one in asked)),
        "ways": dict(Counter(one.way.value for one in asked)),
    }
