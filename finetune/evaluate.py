"""Evaluate: the candidate and the live way of serving answer the hold-out, question by question.

    arm        mode        is
    live       base        the base model alone, for the scoreboard
    live       retrieval   the base model with context, for the scoreboard and the threshold
    live       auto        what customers get today
    candidate  tuned       the tuned model alone, for the scoreboard
    candidate  hybrid      the tuned model with context; the threshold is fitted on it
    off_topic  hybrid      its answers to questions that have no answer here
    candidate  auto        what customers would get: asked once the threshold is fitted

Every answer is a row, so an evaluation goes on where it was killed. The conversation under test is
left out of what is retrieved.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from bot.answer import Answerer
from bot.draft import Draft
from bot.masks import read_default
from finetune.examples import history_of
from finetune.off_topic import off_topic_for
from finetune.redact import redact
from finetune.scores import chrf
from knowledge import Knowledge
from store import (
    Database,
    EvaluationItem,
    Example,
    Mask,
    Mode,
    ModelVersion,
    Run,
    Split,
    Way,
)

LIVE, CANDIDATE, OFF_TOPIC = "live", "candidate", "off_topic"
BEFORE_THRESHOLD = (
    (CANDIDATE, Mode.hybrid),
    (CANDIDATE, Mode.tuned),
    (OFF_TOPIC, Mode.hybrid),
    (LIVE, Mode.retrieval),
    (LIVE, Mode.base),
    (LIVE, Mode.auto),
)
AFTER_THRESHOLD = ((CANDIDATE, Mode.auto),)


class CandidateAwayError(RuntimeError):
    """The candidate does not answer (yet): a new model may load for minutes."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question of the hold-out, or one off topic."""

    item: int
    question: str
    reference: str = ""
    history: Sequence[dict[str, str]] = ()
    conversation_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Task:
    """One answer that is still missing."""

    arm: str
    mode: Mode
    question: Question


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is still to be answered."""

    before_threshold: list[Task]
    after_threshold: list[Task]
    total: int


async def read_questions(session: AsyncSession, dataset_id: int, at_most: int) -> list[Question]:
    """The hold-out's questions: first one of each conversation, then the second of each, ..."""
    examples = await session.scalars(
        select(Example)
        .where(Example.dataset_id == dataset_id, Example.split == Split.holdout)
        .order_by(Example.seq)
    )
    by_conversation = defaultdict(list)
    for example in examples:
        by_conversation[example.conversation_id].append(example)
    ranked = sorted(
        (rank, example.seq, example)
        for group in by_conversation.values()
        for rank, example in enumerate(group)
    )
    return [await _as_question(session, example) for _, _, example in ranked[:at_most]]


async def plan_evaluation(session: AsyncSession, run: Run, at_most: int) -> Plan:
    """What the rows say is missing."""
    assert run.dataset_id is not None
    questions = await read_questions(session, run.dataset_id, at_most)
    off_topic = [
        Question(item=item, question=question)
        for item, question in enumerate(off_topic_for([q.question for q in questions]))
    ]
    rows = await session.execute(
        select(EvaluationItem.arm, EvaluationItem.mode, EvaluationItem.item).where(
            EvaluationItem.run_id == run.id
        )
    )
    done = {(arm, mode, item) for arm, mode, item in rows}

    def missing(pairs: Sequence[tuple[str, Mode]]) -> Iterator[Task]:
        for arm, mode in pairs:
            for question in off_topic if arm == OFF_TOPIC else questions:
                if (arm, mode.value, question.item) not in done:
                    yield Task(arm=arm, mode=mode, question=question)

    return Plan(
        before_threshold=list(missing(BEFORE_THRESHOLD)),
        after_threshold=list(missing(AFTER_THRESHOLD)),
        total=len(questions) * (len(BEFORE_THRESHOLD) - 1 + len(AFTER_THRESHOLD)) + len(off_topic),
    )


class Evaluator:
    """Answers tasks and keeps each answer with its scores."""

    def __init__(
        self, database: Database, knowledge: Knowledge, answerer: Answerer, *, concurrency: int = 2
    ) -> None:
        self._database = database
        self._knowledge = knowledge
        self._answerer = answerer
        self._slots = asyncio.Semaphore(concurrency)

    async def answer_all(
        self,
        run: Run,
        tasks: Sequence[Task],
        *,
        candidate: ModelVersion,
        live: ModelVersion | None,
    ) -> None:
        """Answer every task; those that succeed are kept also when another one fails.

        Raises:
            CandidateAwayError, NoAnswerYetError, EmbeddingAwayError: worth another try later.
        """
        async with self._database.read() as session:
            mask = await read_default(session)
        results = await asyncio.gather(
            *(
                self._answer(run, task, live if task.arm == LIVE else candidate, mask)
                for task in tasks
            ),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _answer(self, run: Run, task: Task, version: ModelVersion | None, mask: Mask) -> None:
        asked = task.question
        async with self._slots:
            draft = await self._answerer.answer(
                asked.question,
                list(asked.history),
                mode=task.mode,
                mask=mask,
                model_version=version,
                exclude_conversation=asked.conversation_id,
            )
        if task.arm != LIVE:
            _refuse_substitute(draft, task.mode)
        scores = await self._score(draft, asked.reference)
        await self._keep(
            EvaluationItem(
                run_id=run.id,
                arm=task.arm,
                mode=task.mode.value,
                item=asked.item,
                question=asked.question,
                reference=asked.reference,
                output=draft.text,
                way=draft.way.value,
                scores=scores,
                prompt_tokens=draft.prompt_tokens,
                completion_tokens=draft.completion_tokens,
                total_ms=draft.total_ms,
            )
        )

    async def _score(self, draft: Draft, reference: str) -> dict[str, Any]:
        scores = {"mean_logprob": draft.mean_logprob, "agreement": draft.agreement}
        if not reference:
            return scores
        similarity = 1.0
        if draft.text != reference:
            [similarity] = await self._knowledge.similarities([(draft.text, reference)])
        return {**scores, "chrf": chrf(draft.text, reference), "similarity": similarity}

    async def _keep(self, item: EvaluationItem) -> None:
        try:
            async with self._database.write() as session:
                session.add(item)
        except IntegrityError:
            pass  # another process, whose claim we took over, had answered it


def _refuse_substitute(draft: Draft, mode: Mode) -> None:
    """An answer of the base model in the place of a candidate that is away would be judged as its.

    In auto mode the base model answers for a candidate that is unsure: that is what is judged.
    """
    failed = [reason for reason in draft.tried if not reason.startswith("tuned: unsure")]
    if failed and draft.way is Way.retrieval:
        raise CandidateAwayError(f"in {mode} mode: {'; '.join(failed)}")


async def _as_question(session: AsyncSession, example: Example) -> Question:
    history = await history_of(session, example.reply_id) if example.reply_id else []
    return Question(
        item=example.seq,
        question=example.question,
        reference=example.answer,
        history=[{**turn, "content": redact(turn["content"]).text} for turn in history],
        conversation_id=example.conversation_id,
    )
