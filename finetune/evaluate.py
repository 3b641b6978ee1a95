"""Evaluate: the candidate and the live way of serving answer the hold-out, question by question.

Every answer is a row, so an evaluation goes on where it was killed. The conversation under test is
left out of what is retrieved. An answer that another model gave in the place of one that is away
is never kept: it would be judged as that one's.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from bot.answer import Answerer
from bot.draft import Draft
from bot.masks import read_default
from finetune.questions import FEW_SHOT, SERVED, Task, is_still_asked, read_shots
from finetune.scores import score_answer
from knowledge import Knowledge
from store import Database, EvaluationItem, Mask, Mode, ModelVersion, Run


class ModelVersionAwayError(RuntimeError):
    """A tuned model does not answer (yet): a new one may load for minutes."""


@dataclass(frozen=True, kw_only=True)
class _Scene:
    """What the answers of one batch depend on."""

    run: Run
    candidate: ModelVersion
    live: ModelVersion | None
    mask: Mask
    few_shot: Mask

    def version(self, arm: str) -> ModelVersion | None:
        return self.live if arm in SERVED else self.candidate


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
            ModelVersionAwayError, NoAnswerYetError, EmbeddingAwayError: worth another try later.
        """
        assert run.dataset_id is not None
        async with self._database.read() as session:
            mask = await read_default(session)
            shots = await read_shots(session, run.dataset_id)
        few_shot = _with_shots(mask, shots)
        scene = _Scene(run=run, candidate=candidate, live=live, mask=mask, few_shot=few_shot)
        results = await asyncio.gather(
            *(self._answer(scene, task) for task in tasks), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _answer(self, scene: _Scene, task: Task) -> None:
        asked, version = task.question, scene.version(task.arm)
        async with self._slots:
            draft = await self._answerer.answer(
                asked.question,
                list(asked.history),
                mode=task.mode,
                mask=scene.few_shot if task.arm == FEW_SHOT else scene.mask,
                model_version=version,
                exclude_conversation=asked.conversation_id,
            )
        if version is not None:
            _refuse_substitute(draft, version, task.mode)
        similarity = None
        if asked.reference and draft.text != asked.reference:
            [similarity] = await self._knowledge.similarities([(draft.text, asked.reference)])
        await self._keep(
            EvaluationItem(
                run_id=scene.run.id,
                arm=task.arm,
                mode=task.mode.value,
                item=asked.item,
                question=asked.question,
                reference=asked.reference,
                output=draft.text,
                way=draft.way.value,
                scores=score_answer(draft, asked.question, asked.reference, similarity),
                prompt_tokens=draft.prompt_tokens,
                completion_tokens=draft.completion_tokens,
                total_ms=draft.total_ms,
            )
        )

    async def _keep(self, item: EvaluationItem) -> None:
        try:
            async with self._database.write() as session:
                await keep_answer(session, item)
        except IntegrityError:
            pass  # another process, whose claim we took over, had answered it


async def keep_answer(session: AsyncSession, item: EvaluationItem) -> None:
    """Unless what it answers was forgotten meanwhile."""
    if await is_still_asked(session, item):
        session.add(item)


def _refuse_substitute(draft: Draft, version: ModelVersion, mode: Mode) -> None:
    """An answer of the base model in the place of a tuned one that is away is not the tuned one's.

    In auto mode the base model answers for a tuned one that is unsure: that is what is judged.
    """
    if draft.is_substitute:
        raise ModelVersionAwayError(
            f"{version.model} does not answer in {mode} mode, and nothing is judged without it: "
            f"{'; '.join(draft.tried)}"
        )


def _with_shots(mask: Mask, shots: Sequence[dict[str, str]]) -> Mask:
    return Mask(
        name=mask.name,
        system_prompt=mask.system_prompt,
        few_shot=[*mask.few_shot, *shots],
        temperature=mask.temperature,
        max_tokens=mask.max_tokens,
    )
