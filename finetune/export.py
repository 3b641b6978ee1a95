"""Export: a dataset in the form that another trainer reads.

    openai        chat lines with weights, as the dataset itself has them
    preference    OpenAI's pairs of a chosen and a rejected answer
    sharegpt      {"system", "conversations": [{"from", "value"}]}
    alpaca        {"instruction", "input", "output", "system", "history"}
    llamafactory  ShareGPT with the dataset_info.json that LLaMA-Factory reads, pairs too
    xtuner        {"conversation": [{"system", "input", "output", "output_with_loss"}]}
    lmflow        {"type": "conversation", "instances": [...]}, pairs too

OpenAI's and XTuner's forms tell which answers are learnt. The others do not, so there each learnt
answer is a record of its own, at its end. ShareGPT and Alpaca keep what was said before: train them
on the last answer alone (LLaMA-Factory: `mask_history: true`). LMFlow would learn all of it, so
there a record is one exchange.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import select

from finetune.files import write_whole
from store import Database, Dataset, Example, Method, Split

Message = dict[str, Any]
Record = dict[str, Any]


class ExportError(ValueError):
    """It cannot be exported so; the message says why, and the way out."""


class Format(StrEnum):
    """A form that trainers read."""

    openai = "openai"
    preference = "preference"
    sharegpt = "sharegpt"
    alpaca = "alpaca"
    llamafactory = "llamafactory"
    xtuner = "xtuner"
    lmflow = "lmflow"


async def export(
    database: Database, dataset: Dataset, format_: Format, folder: Path
) -> dict[Path, int]:
    """Write both sides into a folder; each file with its number of records.

    Raises:
        ExportError: the dataset has no pairs, and the form wants them; or the folder is none.
    """
    if format_ is Format.preference and dataset.method is not Method.dpo:
        raise ExportError(
            f"dataset v{dataset.version} holds approved replies and no pairs; "
            f"`nod retrain --method dpo` freezes one of edits against their drafts"
        )
    if folder.exists() and not folder.is_dir():
        raise ExportError(f"{folder} is a file; name a folder")
    written = {}
    for side in Split:
        async with database.read() as session:
            rows = await session.scalars(
                select(Example.line)
                .where(Example.dataset_id == dataset.id, Example.split == side)
                .order_by(Example.seq)
            )
            lines = [json.loads(row) for row in rows]
        path, text, count = _write_out(lines, dataset, format_, folder / str(side))
        await asyncio.to_thread(write_whole, path, text)
        written[path] = count
    if format_ is Format.llamafactory:
        info = json.dumps(_dataset_info(dataset), indent=2)
        await asyncio.to_thread(write_whole, folder / "dataset_info.json", f"{info}\n")
    return written


def _write_out(
    lines: Sequence[Record], dataset: Dataset, format_: Format, stem: Path
) -> tuple[Path, str, int]:
    has_pairs = dataset.method is Method.dpo
    records = [record for line in lines for record in _convert(line, format_, has_pairs)]
    if format_ in (Format.openai, Format.preference):
        text = "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records)
        return stem.with_suffix(".jsonl"), text, len(records)
    if format_ is Format.lmflow:
        kind = "paired_conversation" if has_pairs else "conversation"
        whole: Any = {"type": kind, "instances": records}
        # LMFlow reads every file of a folder as one dataset: each side has its own.
        return stem / "data.json", _dump(whole), len(records)
    return stem.with_suffix(".json"), _dump(records), len(records)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def _convert(line: Record, format_: Format, has_pairs: bool) -> Iterator[Record]:
    if format_ is Format.preference:
        yield line
        return
    if has_pairs and format_ in (Format.llamafactory, Format.lmflow):
        yield _PAIRED[format_](line)
        return
    messages: list[Message] = (
        [*_muted(line["input"]["messages"]), *line["preferred_completion"]]
        if has_pairs
        else line["messages"]
    )
    if format_ is Format.openai:
        yield {"messages": messages}
    elif format_ is Format.xtuner:
        yield _as_xtuner(messages)
    else:
        for ending in _endings(messages):
            yield _SINGLE[format_](ending)


def _muted(messages: Sequence[Message]) -> list[Message]:
    return [
        {**message, "weight": 0} if message["role"] == "assistant" else message
        for message in messages
    ]


def _is_learnt(message: Message) -> bool:
    return message["role"] == "assistant" and message.get("weight") != 0


def _endings(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """The conversation up to each answer that is learnt."""
    for place, message in enumerate(messages):
        if _is_learnt(message):
            yield list(messages[: place + 1])


def _parts(messages: Sequence[Message]) -> tuple[str, list[tuple[str, str]]]:
    """The system prompt, and the exchanges."""
    system = "\n".join(m["content"] for m in messages if m["role"] == "system")
    talk = [m for m in messages if m["role"] != "system"]
    asked, answered = talk[::2], talk[1::2]
    return system, [
        (one["content"], other["content"]) for one, other in zip(asked, answered, strict=True)
    ]


def _as_sharegpt(messages: Sequence[Message]) -> Record:
    system, exchanges = _parts(messages)
    return {"system": system, "conversations": _turns(exchanges)}


def _turns(exchanges: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [
        {"from": who, "value": value}
        for asked, answer in exchanges
        for who, value in (("human", asked), ("gpt", answer))
    ]


def _as_alpaca(messages: Sequence[Message]) -> Record:
    system, exchanges = _parts(messages)
    *history, (question, answer) = exchanges
    return {
        "instruction": question,
        "input": "",
        "output": answer,
        "system": system,
        "history": [list(exchange) for exchange in history],
    }


def _as_xtuner(messages: Sequence[Message]) -> Record:
    system, exchanges = _parts(messages)
    learnt = [_is_learnt(message) for message in messages if message["role"] == "assistant"]
    turns: list[Record] = [
        {"input": asked, "output": answer, "output_with_loss": is_learnt}
        for (asked, answer), is_learnt in zip(exchanges, learnt, strict=True)
    ]
    return {"conversation": [{"system": system, **turns[0]}, *turns[1:]]}


def _as_lmflow(messages: Sequence[Message]) -> Record:
    """The last exchange alone: LMFlow would learn the earlier answers again."""
    system = "\n".join(m["content"] for m in messages if m["role"] == "system")
    return _lmflow_conversation(system, messages[-2:])


def _lmflow_conversation(system: str, talk: Sequence[Message]) -> Record:
    plain = [{"role": m["role"], "content": m["content"]} for m in talk]
    return {"system": system, "tools": [], "messages": plain}


def _as_llamafactory_pair(line: Record) -> Record:
    asked = line["input"]["messages"]
    *_, question = asked
    system, exchanges = _parts([*asked, {"role": "assistant", "content": ""}])
    return {
        "system": system,
        "conversations": [*_turns(exchanges[:-1]), {"from": "human", "value": question["content"]}],
        "chosen": {"from": "gpt", "value": line["preferred_completion"][0]["content"]},
        "rejected": {"from": "gpt", "value": line["non_preferred_completion"][0]["content"]},
    }


def _as_lmflow_pair(line: Record) -> Record:
    asked = line["input"]["messages"]
    system = "\n".join(m["content"] for m in asked if m["role"] == "system")
    talk = [m for m in asked if m["role"] != "system"]
    return {
        "chosen": _lmflow_conversation(system, [*talk, *line["preferred_completion"]]),
        "rejected": _lmflow_conversation(system, [*talk, *line["non_preferred_completion"]]),
    }


_SINGLE: dict[Format, Callable[[Sequence[Message]], Record]] = {
    Format.sharegpt: _as_sharegpt,
    Format.llamafactory: _as_sharegpt,
    Format.alpaca: _as_alpaca,
    Format.lmflow: _as_lmflow,
}
_PAIRED: dict[Format, Callable[[Record], Record]] = {
    Format.llamafactory: _as_llamafactory_pair,
    Format.lmflow: _as_lmflow_pair,
}


def _dataset_info(dataset: Dataset) -> dict[str, Any]:
    """What LLaMA-Factory's `data/README.md` asks for, an entry a file."""
    columns = {"messages": "conversations", "system": "system"}
    ranking = {}
    if dataset.method is Method.dpo:
        ranking = {"ranking": True}
        columns |= {"chosen": "chosen", "rejected": "rejected"}
    return {
        f"nod_v{dataset.version}_{side}": {
            "file_name": f"{side}.json",
            "formatting": "sharegpt",
            **ranking,
            "columns": columns,
        }
        for side in Split
    }
