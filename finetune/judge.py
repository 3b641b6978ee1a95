"""The judge: another model says which of two answers is better, if the settings name one.

Models favour the answer that stands first, so each pair is shown in both orders, and a preference
counts only where both agree; ties are allowed. (Zheng et al. 2023, "Judging LLM-as-a-Judge".)
"""

import re
from dataclasses import dataclass

from openai import AsyncOpenAI, OpenAIError
from openai.types.chat import ChatCompletion

from store import EvaluationItem

_PROMPT = """\
A customer asked a shop a question. Compare two answers with the reply that the shop approved.
Better is what tells the customer the same as the approved reply: right facts first, then nothing \
invented, then clear and polite. Length is no merit.

Question:
{question}

Approved reply:
{reference}

Answer 1:
{first}

Answer 2:
{second}

Which answer is better? Reply with one word: 1, 2 or tie."""
_WORD = re.compile(r"\b(?:answer\s*)?(1|2|tie)\b", re.IGNORECASE)
_CHARS = 2000
"""Of each text, at most."""


@dataclass(frozen=True, kw_only=True)
class Preference:
    """What a judge said: 1 for the candidate, -1 for what is live, 0 for a tie or no agreement."""

    value: float
    said: str


class Judge:
    """Asks the model that the settings name; it should be of another family than the candidate."""

    def __init__(self, client: AsyncOpenAI, model: str, *, timeout_s: float = 60.0) -> None:
        self._client = client.with_options(timeout=timeout_s, max_retries=1)
        self.model = model

    async def compare(self, live: EvaluationItem, candidate: EvaluationItem) -> Preference:
        """Both orders of one pair.

        Raises:
            openai.OpenAIError: the judge does not answer.
        """
        if live.output.strip() == candidate.output.strip():
            return Preference(value=0.0, said="the same")
        one = await self._ask(live.question, live.reference, live.output, candidate.output)
        other = await self._ask(live.question, live.reference, candidate.output, live.output)
        value = {("2", "1"): 1.0, ("1", "2"): -1.0}.get((one, other), 0.0)
        return Preference(value=value, said=f"{one}, then {other}")

    async def _ask(self, question: str, reference: str, first: str, second: str) -> str:
        """1, 2 or tie; what cannot be read is a tie."""
        shown = {
            "question": question[:_CHARS],
            "reference": reference[:_CHARS],
            "first": first[:_CHARS],
            "second": second[:_CHARS],
        }
        completion = await self._client.chat.completions.create(
            model=self.model,
            messages=[{"role": "user", "content": _PROMPT.format(**shown)}],
        )
        if not isinstance(completion, ChatCompletion):  # the client hands a page on as its text
            raise OpenAIError("no completion came; is the judge's base URL right?")
        said = (completion.choices[0].message.content or "") if completion.choices else ""
        found = _WORD.findall(said)
        return found[-1].lower() if found else "tie"
