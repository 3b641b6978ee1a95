"""Questions: what an evaluation asks whom, and which answers are still missing.

arm             mode        is
live            base        the base model alone
few_shot        base        the base model with three examples of the dataset in its prompt
live            retrieval   the base model with context; the threshold is fitted against it
live            auto        what customers get today
live_off_topic  auto        the same, to questions that have no answer here
candidate       tuned       the tuned model alone
candidate       hybrid      the tuned model with context; the threshold is fitted on it
off_topic       hybrid      the same, to questions that have no answer here
candidate       auto        what customers would get: asked once the threshold is fitted
off_topic       auto        the same, to questions that have no answer here
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from finetune.examples import history_of
from finetune.off_topic import off_topic_for
from finetune.redact import Redactor
from store import Dataset, EvaluationItem, Example, Mode, Run, Split

LIVE, CANDIDATE, FEW_SHOT = "live", "candidate", "few_shot"
OFF_TOPIC, LIVE_OFF_TOPIC = "off_topic", "live_off_topic"
JUDGE = "judge"
"""Not an answer: what a judge said of the two in auto mode."""
SERVED = (LIVE, FEW_SHOT, LIVE_OFF_TOPIC)
"""Arms of what is served today; the others are the candidate's."""
BEFORE_THRESHOLD = (
    (CANDIDATE, Mode.hybrid),
    (CANDIDATE, Mode.tuned),
    (OFF_TOPIC, Mode.hybrid),
    (LIVE, Mode.retrieval),
    (LIVE, Mode.base),
    (FEW_SHOT, Mode.base),
    (LIVE, Mode.auto),
    (LIVE_OFF_TOPIC, Mode.auto),
)
AFTER_THRESHOLD = ((CANDIDATE, Mode.auto), (OFF_TOPIC, Mode.auto))
SHOTS = 3


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
    done: int

    @property
    def total(self) -> int:
        return self.done + len(self.before_threshold) + len(self.after_threshold)


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
    done = {(arm, mode, item) for arm, mode, item in rows if arm != JUDGE}

    def missing(pairs: Iterable[tuple[str, Mode]]) -> Iterator[Task]:
        for arm, mode in pairs:
            for question in off_topic if arm in (OFF_TOPIC, LIVE_OFF_TOPIC) else questions:
                if (arm, mode.value, question.item) not in done:
                    yield Task(arm=arm, mode=mode, question=question)

    return Plan(
        before_threshold=list(missing(BEFORE_THRESHOLD)),
        after_threshold=list(missing(AFTER_THRESHOLD)),
        done=len(done),
    )


async def read_questions(session: AsyncSession, dataset_id: int, at_most: int) -> list[Question]:
    """The hold-out's questions: first one of each conversation, then the second of each, ..."""
    ranked = await _ranked(session, dataset_id, Split.holdout)
    words = (await session.get_one(Dataset, dataset_id)).recipe.get("words", ())
    return [await _as_question(session, example, words) for example in ranked[:at_most]]


async def is_still_asked(session: AsyncSession, item: EvaluationItem) -> bool:
    """Whether what was asked has not been forgotten while it was answered.

    If not, it is not before the end of this transaction: then the answer goes with it.
    """
    if item.arm in (OFF_TOPIC, LIVE_OFF_TOPIC):
        return True
    line = (
        select(Example.id)
        .join(Run, Run.dataset_id == Example.dataset_id)
        .where(Run.id == item.run_id, Example.split == Split.holdout, Example.seq == item.item)
        .with_for_update(read=True, key_share=True, of=Example)
    )
    return await session.scalar(line) is not None


async def read_shots(session: AsyncSession, dataset_id: int) -> list[dict[str, str]]:
    """Exchanges to train on, as few-shot turns for a prompt: of as many conversations."""
    examples = (await _ranked(session, dataset_id, Split.train))[:SHOTS]
    return [
        turn
        for example in examples
        for turn in (
            {"role": "user", "content": example.question},
            {"role": "assistant", "content": example.answer},
        )
    ]


async def _ranked(session: AsyncSession, dataset_id: int, side: Split) -> list[Example]:
    examples = await session.scalars(
        select(Example)
        .where(Example.dataset_id == dataset_id, Example.split == side)
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
    return [example for _, _, example in ranked]


async def _as_question(session: AsyncSession, example: Example, words: Sequence[str]) -> Question:
    history = await history_of(session, example.reply_id) if example.reply_id else []
    redactor = Redactor(words=words)
    return Question(
        item=example.seq,
        question=example.question,
        reference=example.answer,
        history=[{**turn, "content": redactor.redact(turn["content"])} for turn in history],
        conversation_id=example.conversation_id,
    )
