"""The one place where a prompt is made: for answers, for evaluations and for training examples.

    [system prompt] [few-shot turns] [history, newest that fit] [context] [question]

The context is given as exchanges, a question and its approved answer each, the best one last: a
small model repeats what it seems to have said just now, and hardly reads a list of facts. With
SmolLM2-135M on 24 unseen questions about a shop, chrF against the right answer was 56 this way, 38
with the best one first, 31 for a list of facts before the question and 26 for one in the system
prompt. What stands before the context stays the same from message to message, so that a server can
reuse it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bot.tokens import count_tokens, cut_to_tokens
from knowledge.retrieved import Retrieved
from store import Mask, Role

Chat = list[dict[str, str]]
"""Messages in OpenAI's form: {"role", "content"}."""

SYSTEM_PROMPT = (
    "You are the assistant of a shop. Answer the customer's question in one to three sentences. "
    "Use only the facts you are given; when they do not say it, say that you do not know."
)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How many tokens each part of a prompt may take (see bot.tokens)."""

    mask_tokens: int = 600
    """System prompt and few-shot turns together."""
    context_tokens: int = 400
    history_tokens: int = 300
    question_tokens: int = 1000


DEFAULT_BUDGET = Budget()


def build_prompt(
    mask: Mask,
    history: Sequence[dict[str, str]],
    question: str,
    context: Sequence[Retrieved] = (),
    *,
    budget: Budget = DEFAULT_BUDGET,
) -> Chat:
    """The messages for one chat completion.

    There is always a system message: without one, chat templates put in their own.
    """
    return [
        *_masked(mask, budget.mask_tokens),
        *_newest(history, budget.history_tokens),
        *_exchanges(context, budget.context_tokens),
        {"role": "user", "content": cut_to_tokens(question.strip(), budget.question_tokens)},
    ]


def as_history(turns: Iterable[tuple[Role, str]]) -> Chat:
    """Turns, oldest first, as exchanges: what the customer said, and what was answered.

    What got no answer is left out: a small model would answer it now.
    """
    chat: Chat = []
    for who, text in turns:
        role = "user" if who is Role.customer else "assistant"
        if chat and chat[-1]["role"] == role == "user":
            chat[-1] = {"role": role, "content": text}
        elif chat and chat[-1]["role"] == role:
            chat[-1] = {"role": role, "content": f"{chat[-1]['content']}\n{text}"}
        elif chat or role == "user":
            chat.append({"role": role, "content": text})
    return chat[:-1] if chat and chat[-1]["role"] == "user" else chat


def _masked(mask: Mask, tokens: int) -> Chat:
    """System prompt and the few-shot exchanges that fit: a mask may be older than the budget."""
    told = cut_to_tokens(mask.system_prompt.strip() or SYSTEM_PROMPT, tokens)
    chat = [{"role": "system", "content": told}]
    tokens -= count_tokens(told)
    for start in range(0, len(mask.few_shot), 2):
        exchange = mask.few_shot[start : start + 2]
        tokens -= sum(count_tokens(turn["content"]) for turn in exchange)
        if tokens < 0:
            break
        chat += [{"role": turn["role"], "content": turn["content"]} for turn in exchange]
    return chat


def _newest(history: Sequence[dict[str, str]], tokens: int) -> Chat:
    """The newest exchanges that fit, oldest first; never half of one."""
    kept: Chat = []
    for start in range(len(history) - 2, -1, -2):
        exchange = history[start : start + 2]
        tokens -= sum(count_tokens(turn["content"]) for turn in exchange)
        if tokens < 0:
            break
        kept[:0] = exchange
    return kept


def _exchanges(context: Sequence[Retrieved], tokens: int) -> Chat:
    """The best chunks that fit, as exchanges, the best one last; cut if not even that one fits."""
    chat: Chat = []
    for chunk in context:
        asked = _asked_about(chunk)
        room = tokens - count_tokens(asked)
        if chat and count_tokens(chunk.text) > room:
            break
        told = cut_to_tokens(chunk.text.strip(), room)
        chat[:0] = [{"role": "user", "content": asked}, {"role": "assistant", "content": told}]
        tokens = room - count_tokens(told)
    return chat


def _asked_about(chunk: Retrieved) -> str:
    """The question of a pair; for a passage the one that it would answer."""
    if chunk.question:
        return chunk.question.strip()
    is_chinese = any("\u4e00" <= character <= "\u9fff" for character in chunk.text)
    return f"关于“{chunk.title}”，有哪些信息？" if is_chinese else f"What about {chunk.title}?"
