"""The recipe for support: each answer of the agent, with all that was known before it.

Summary: what the conversation is about so far
Specific information: what the shop's system says about this customer
###
Customer: ...
Agent: ...
Customer: ...
Agent:
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from finetune.prepare.complaints import Complaints
from finetune.prepare.conversation import RowError
from finetune.prepare.recipes.recipe import Cells, Recipe, cell, cells_of, optional
from finetune.prepare.rows import Rows

_AGENTS = {"agent", "assistant", "bot", "shop", "客服"}
_CUSTOMERS = {"customer", "user", "client", "顾客", "客户", "用户"}


@dataclass
class _Chat:
    id: str
    summary: str = ""
    specific: str = ""
    turns: list[tuple[bool, str]] = field(default_factory=list)
    """Whether the agent speaks, and what is said."""


def _convert(
    rows: Iterator[Rows], file: str, complaints: Complaints, as_chat: bool
) -> Iterator[Rows]:
    """A row is a turn; those of one conversation stand together."""
    chat = _Chat(id="")
    for some in rows:
        numbers: list[int] = []
        records: list[dict[str, Any]] = []
        for number, record in zip(some.numbers, some.records, strict=True):
            cells = cells_of(record)
            try:
                speaks, text = _turn(cells)
            except RowError as error:
                complaints.add(file, f"row {number}", str(error))
                continue
            id_ = optional(cells, "conversation", "conversation id", "chat", "会话")
            if id_ != chat.id or not chat.turns:
                chat = _Chat(id=id_)
            chat.summary = optional(cells, "summary", "摘要") or chat.summary
            chat.specific = (
                optional(cells, "specific information", "specific", "信息") or chat.specific
            )
            if speaks and any(not by_agent for by_agent, _ in chat.turns):
                numbers.append(number)
                records.append(_example(chat, text, as_chat))
            chat.turns.append((speaks, text))
        yield Rows(numbers=numbers, records=records)


def _turn(cells: Cells) -> tuple[bool, str]:
    speaker = cell(cells, "speaker", "role", "角色").casefold()
    if speaker not in _AGENTS | _CUSTOMERS:
        raise RowError(f"has the speaker {speaker!r}; known are customer and agent")
    return speaker in _AGENTS, cell(cells, "text", "message", "内容")


def _example(chat: _Chat, answer: str, as_chat: bool) -> dict[str, Any]:
    head = f"Summary: {chat.summary or 'none'}\n\nSpecific information: {chat.specific or 'none'}"
    if as_chat:
        roles = {True: "assistant", False: "user"}
        turns = [{"role": roles[by_agent], "content": text} for by_agent, text in chat.turns]
        answered = {"role": "assistant", "content": answer}
        return {"messages": [{"role": "system", "content": head}, *turns, answered]}
    names = {True: "Agent", False: "Customer"}
    said = "\n".join(f"{names[by_agent]}: {text}" for by_agent, text in chat.turns)
    return {"prompt": f"{head}\n\n###\n\n{said}\nAgent:", "completion": f" {answer}\n"}


SUPPORT_CHAT = Recipe(
    name="support-chat",
    task="answer customers as your agents do, knowing what your system knows",
    columns="conversation, speaker (customer, agent), text; summary, specific information",
    example="Summary / Specific information / the turns so far / Agent: -> the agent's answer",
    sample="support-chat.csv",
    conversion=_convert,
)
