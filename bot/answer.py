"""Answers a question the way the mode says, and falls to the next way where one fails.

    mode       ways, in order
    base       base
    retrieval  base model with context
    tuned      tuned model; base model with context
    hybrid     tuned model with context; base model with context
    auto       approved reply; a courtesy to a courtesy; unknown where nothing relevant is found;
               tuned model with context where it is sure; base model with context

The draft says which way it went and why, and which ways were tried before.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from openai import AsyncOpenAI

from bot.agreement import measure_agreement
from bot.completion import (
    Completion,
    CompletionError,
    ModelAwayError,
    ModelRefusedError,
    OnText,
    complete,
)
from bot.courtesy import answer_courtesy
from bot.draft import Draft
from bot.fixed import fixed_draft, unknown_draft
from bot.follow_up import is_follow_up
from bot.inquiry import Inquiry
from bot.near_match import find_difference, repeats
from bot.prompt import DEFAULT_BUDGET, Budget, Chat, build_prompt
from bot.sureness import judge_base, judge_tuned
from knowledge import Knowledge
from knowledge.retrieved import Retrieved
from store import Mask, Mode, ModelVersion, Way

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class AnswerOptions:
    """What the settings say about answers."""

    approved_similarity: float = 0.93
    """From here on a question is near the approved one; bot/near_match.py asks for more."""
    context_chunks: int = 3
    budget: Budget = DEFAULT_BUDGET
    timeout_s: float = 60.0
    """For one completion, from the request to its last token."""


class NoAnswerYetError(Exception):
    """No way leads to an answer now; a later try may. `tried` has the reason of each."""

    def __init__(self, tried: Sequence[str]) -> None:
        super().__init__("; ".join(tried))
        self.tried = tuple(tried)


class Answerer:
    """Holds nothing of a conversation: one serves many at the same time."""

    def __init__(
        self,
        knowledge: Knowledge,
        client: AsyncOpenAI,
        *,
        base_model: str,
        options: AnswerOptions | None = None,
    ) -> None:
        self._knowledge = knowledge
        self.options = options or AnswerOptions()
        # Failures fall to the next way or to a later try, so the client's own retries are few.
        self._client = client.with_options(max_retries=1, timeout=self.options.timeout_s)
        self._base_model = base_model
        self._away_until: dict[str, float] = {}

    async def answer(
        self,
        question: str,
        history: Chat | None = None,
        *,
        mode: Mode,
        mask: Mask,
        model_version: ModelVersion | None = None,
        exclude_conversation: str | None = None,
        on_text: OnText | None = None,
    ) -> Draft:
        """The answer, or an honest "I don't know".

        `history` is what bot.prompt.as_history makes. `exclude_conversation` leaves out what was
        learned in that conversation: for evaluations. `on_text` follows the text that is being
        written only where it is the text that will be returned: never a judged answer.

        Raises:
            NoAnswerYetError: the model is away, and nothing else answers.
        """
        inquiry = Inquiry(
            question=question,
            history=history or [],
            mask=mask,
            model_version=model_version,
            exclude_conversation=exclude_conversation,
            on_text=on_text,
            started_at=time.perf_counter(),
        )
        match mode:
            case Mode.auto:
                return await self._auto(inquiry)
            case Mode.base:
                return await self._base(inquiry)
            case Mode.retrieval:
                return await self._retrieval(inquiry)
            case Mode.tuned:
                return await self._tuned(inquiry) or await self._retrieval(inquiry)
            case Mode.hybrid:
                await self._look_up(inquiry)
                return await self._tuned(inquiry) or await self._retrieval(inquiry)

    async def _auto(self, inquiry: Inquiry) -> Draft:
        if approved := await self._approved(inquiry):
            return approved
        if text := answer_courtesy(inquiry.question):
            return fixed_draft(inquiry, text, Way.notice, "a courtesy", is_sure=True)
        await self._look_up(inquiry)
        if not inquiry.context:
            return unknown_draft(inquiry, "nothing relevant was found")
        return await self._tuned(inquiry, only_sure=True) or await self._retrieval(inquiry)

    async def _approved(self, inquiry: Inquiry) -> Draft | None:
        """An approved reply, word for word, where the question (nearly) is an approved one."""
        match = await self._knowledge.nearest_approved(
            inquiry.question, exclude_conversation=inquiry.exclude_conversation
        )
        least = self.options.approved_similarity
        if match is None or match.similarity < least:
            return None
        if difference := await find_difference(self._knowledge, inquiry, match):
            inquiry.refuse(match, difference)
            return None
        return Draft(
            text=match.answer,
            way=Way.approved,
            reason=f"approved: {match.similarity:.2f} >= {least:.2f} like {match.question!r}",
            is_sure=True,
            mask_id=inquiry.mask.id,
            retrieved=[match],
            total_ms=inquiry.ms,
        )

    async def look_up(
        self, question: str, history: Chat, *, exclude_conversation: str | None = None
    ) -> Sequence[Retrieved]:
        """The context that an answer is given; training examples are made with the same.

        A follow-up that says too little is read with what came before it.
        """
        found = await self._relevant(question, exclude_conversation)
        asked_before = [turn["content"] for turn in history if turn["role"] == "user"]
        if not found and asked_before and is_follow_up(question):
            found = await self._relevant(f"{asked_before[-1]} {question}", exclude_conversation)
        return found

    async def _look_up(self, inquiry: Inquiry) -> None:
        inquiry.context = await self.look_up(
            inquiry.question, inquiry.history, exclude_conversation=inquiry.exclude_conversation
        )

    async def _relevant(self, query: str, exclude_conversation: str | None) -> Sequence[Retrieved]:
        found = await self._knowledge.retrieve(
            query,
            limit=self.options.context_chunks,
            exclude_conversation=exclude_conversation,
        )
        return found if self._knowledge.is_relevant(found) else []

    async def _tuned(self, inquiry: Inquiry, *, only_sure: bool = False) -> Draft | None:
        """The tuned model's answer; none where there is no such model, or it is away or unsure.

        An answer that has to be judged first is not shown while it is written.
        """
        version = inquiry.model_version
        if version is None:
            inquiry.give_up_tuned("no model version is live")
            return None
        try:
            completion = await self._complete(version.model, inquiry, shows=not only_sure)
        except CompletionError as error:
            inquiry.give_up_tuned(str(error))
            return None
        agreement = _agreement(completion, inquiry)
        is_sure, why = judge_tuned(completion.mean_logprob, agreement, version)
        is_sure, why = _doubt_loop(completion, is_sure, why)
        if only_sure and not is_sure:
            inquiry.tried.append(f"tuned: unsure, {why}")
            return None
        return self._draft(
            inquiry, completion, Way.tuned, reason=why, is_sure=is_sure, version=version
        )

    async def _retrieval(self, inquiry: Inquiry) -> Draft:
        if not inquiry.context:
            await self._look_up(inquiry)
        return await self._ask_base(inquiry, Way.retrieval)

    async def _base(self, inquiry: Inquiry) -> Draft:
        return await self._ask_base(inquiry, Way.base)

    async def _ask_base(self, inquiry: Inquiry, way: Way) -> Draft:
        try:
            completion = await self._complete(self._base_model, inquiry, shows=True)
        except ModelAwayError as error:
            raise NoAnswerYetError([*inquiry.tried, f"{way}: {error}"]) from error
        except ModelRefusedError as error:
            return unknown_draft(inquiry, f"the model refused the prompt: {error}")
        is_sure, why = judge_base(_agreement(completion, inquiry))
        is_sure, why = _doubt_loop(completion, is_sure, why)
        return self._draft(inquiry, completion, way, reason=why, is_sure=is_sure)

    async def _complete(self, model: str, inquiry: Inquiry, *, shows: bool) -> Completion:
        """Ask a model, unless it was slow to fail a moment ago.

        One that took a minute to fail is not asked again for a minute: customers would queue up
        behind it, each waiting that minute again.
        """
        asked_at = time.perf_counter()
        if asked_at < self._away_until.get(model, 0.0):
            raise ModelAwayError(f"{model} was away a moment ago")
        try:
            return await complete(
                self._client,
                model,
                self._prompt(inquiry),
                inquiry.mask,
                timeout_s=self.options.timeout_s,
                on_text=inquiry.on_text if shows else None,
            )
        except ModelAwayError:
            failed_at = time.perf_counter()
            self._away_until[model] = failed_at + (failed_at - asked_at)
            raise

    def _prompt(self, inquiry: Inquiry) -> Chat:
        return build_prompt(
            inquiry.mask,
            inquiry.history,
            inquiry.question,
            inquiry.context,
            budget=self.options.budget,
        )

    def _draft(
        self,
        inquiry: Inquiry,
        completion: Completion,
        way: Way,
        *,
        reason: str,
        is_sure: bool,
        version: ModelVersion | None = None,
    ) -> Draft:
        if inquiry.refused and repeats(completion.text, inquiry.refused):
            is_sure, reason = False, f"{reason}, but it says again the approved reply not taken"
        first_token_at = completion.first_token_at or time.perf_counter()
        return Draft(
            text=completion.text,
            way=way,
            reason=f"{way}: {reason}",
            is_sure=is_sure,
            model=completion.model,
            model_version_id=version.id if version else None,
            mask_id=inquiry.mask.id,
            prompt=self._prompt(inquiry),
            retrieved=inquiry.context,
            mean_logprob=completion.mean_logprob,
            agreement=_agreement(completion, inquiry),
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=completion.completion_tokens,
            first_token_ms=(first_token_at - inquiry.started_at) * 1000,
            total_ms=inquiry.ms,
            tried=tuple(inquiry.tried),
            is_substitute=inquiry.is_tuned_away and way is Way.retrieval,
        )


def _doubt_loop(completion: Completion, is_sure: bool, why: str) -> tuple[bool, str]:
    """A model that goes round in circles is sure of each word, and lost all the same."""
    return (False, "it began to repeat itself") if completion.is_looping else (is_sure, why)


def _agreement(completion: Completion, inquiry: Inquiry) -> float | None:
    """None where nothing was retrieved to agree with."""
    if not inquiry.context:
        return None
    return measure_agreement(completion.text, (chunk.text for chunk in inquiry.context))
