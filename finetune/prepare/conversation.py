"""Conversations as other tools write them, turned into OpenAI's messages.

OpenAI chat        {"messages": [{"role", "content", "weight"}], "tools"}
ShareGPT           {"conversations": [{"from", "value"}], "system", "tools"}
Alpaca             {"instruction", "input", "output", "system", "history": [[asked, answered]]}
OpenAI preference  {"input": {"messages"}, "preferred_output", "non_preferred_output"}
TRL preference     {"prompt", "chosen", "rejected"}, texts or messages
"""

from collections import Counter
from typing import Any

Message = dict[str, Any]

ROLES = {
    "system": "system", "developer": "developer", "user": "user", "assistant": "assistant",
    "tool": "tool", "function": "function",
    "human": "user", "customer": "user", "client": "user", "prompter": "user",
    "gpt": "assistant", "bot": "assistant", "agent": "assistant", "model": "assistant",
    "chatgpt": "assistant", "ai": "assistant", "bing": "assistant", "bard": "assistant",
    "function_call": "assistant", "observation": "tool",
}  # fmt: skip
_KEPT = ("name", "weight", "tool_calls", "tool_call_id", "function_call", "refusal")


class RowError(ValueError):
    """A row is no example; the message says why, for the person who wrote it."""


def is_conversation(record: dict[str, Any]) -> bool:
    """Whether a record is any of these, and no plain pair."""
    return (
        "messages" in record
        or "conversations" in record
        or "conversation" in record
        or ("instruction" in record and "output" in record)
        or is_preference(record)
    )


def is_preference(record: dict[str, Any]) -> bool:
    return "preferred_output" in record or ("chosen" in record and "rejected" in record)


def read_preference(record: dict[str, Any], mended: Counter[str]) -> dict[str, Any]:
    """A line in OpenAI's form for preferences.

    Raises:
        RowError
    """
    if "preferred_output" in record:
        given = record.get("input")
        before = _messages(given.get("messages") if isinstance(given, dict) else given, "input")
        chosen = _messages(record["preferred_output"], "preferred_output")
        rejected = _messages(record.get("non_preferred_output"), "non_preferred_output")
    else:
        before, chosen, rejected = _trl(record)
    before = _without_blank(before, mended)
    if not any(message["role"] == "user" for message in before):
        raise RowError("has no question before the answers")
    for name, answer in (("chosen", chosen), ("rejected", rejected)):
        if not answer or answer[-1]["role"] != "assistant" or _is_blank(answer[-1]):
            raise RowError(f"has no {name} answer")
    if chosen == rejected:
        raise RowError("has the same answer as chosen and as rejected")
    return {
        "input": {"messages": before},
        "preferred_output": chosen,
        "non_preferred_output": rejected,
    }


def _trl(record: dict[str, Any]) -> tuple[list[Message], list[Message], list[Message]]:
    """Texts, or messages of which chosen and rejected may repeat what both begin with."""
    chosen = _answer(record["chosen"], "chosen")
    rejected = _answer(record["rejected"], "rejected")
    prompt = record.get("prompt", record.get("question", record.get("instruction")))
    if prompt is not None:
        asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        return _messages(asked, "prompt"), chosen[-1:], rejected[-1:]
    return chosen[:-1], chosen[-1:], rejected[-1:]


def _answer(given: object, name: str) -> list[Message]:
    return _messages(
        [{"role": "assistant", "content": given}] if isinstance(given, str) else given, name
    )


def read_chat(record: dict[str, Any], mended: Counter[str]) -> dict[str, Any]:
    """A line in OpenAI's form for chats, which ends with an answer.

    Args:
        mended: counts the empty turns, and those after the last answer, that were left out.

    Raises:
        RowError
    """
    if "messages" in record:
        messages = _messages(record["messages"], "messages")
    elif "instruction" in record:
        messages = _alpaca(record)
    else:
        name = "conversations" if "conversations" in record else "conversation"
        messages = _sharegpt(record[name], record.get("system"), name)
    messages = _without_blank(messages, mended)
    answered = [place for place, each in enumerate(messages) if each["role"] == "assistant"]
    if not answered:
        raise RowError("is one-sided: nobody answers")
    if not any(message["role"] == "user" for message in messages[: answered[-1]]):
        raise RowError("is one-sided: nobody asks")
    if answered[-1] + 1 < len(messages):
        mended["turns after the last answer"] += len(messages) - answered[-1] - 1
    line: dict[str, Any] = {"messages": messages[: answered[-1] + 1]}
    for key in ("tools", "functions", "parallel_tool_calls"):
        if isinstance(record.get(key), list | bool):
            line[key] = record[key]
    return line


def text_of(message: Message) -> str:
    """What a message says; images and calls of tools say nothing."""
    content = message.get("content")
    return content if isinstance(content, str) else ""


def text_before(messages: list[Message]) -> str:
    """All turns as one text, to compare and to count by."""
    return "\n".join(f"{each['role']}: {text_of(each)}" for each in messages)


def _messages(given: object, name: str) -> list[Message]:
    if not isinstance(given, list):
        raise RowError(f"`{name}` is not a list of messages")
    messages = [_message(each, f"{name}[{place}]") for place, each in enumerate(given)]
    if not messages:
        raise RowError(f"`{name}` is empty")
    return messages


def _message(given: object, name: str) -> Message:
    if not isinstance(given, dict):
        raise RowError(f"`{name}` is not an object with role and content")
    said = given.get("role", given.get("from"))
    role = ROLES.get(str(said).strip().casefold())
    if role is None:
        raise RowError(f"`{name}` has the role {said!r}; known are system, user, assistant, tool")
    message: Message = {"role": role, "content": _content(given, name)}
    message |= {key: given[key] for key in _KEPT if given.get(key) is not None}
    return message


def _content(given: Message, name: str) -> str | None:
    content = given.get("content", given.get("value"))
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, int | float):
        return str(content)
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        if len(parts) == len(content) and all(isinstance(part, str) for part in parts):
            return "".join(map(str, parts))
        raise RowError(f"`{name}` has parts that are not text; only text is prepared")
    raise RowError(f"`{name}` has a content that is not text")


def _sharegpt(given: object, system: object, name: str) -> list[Message]:
    messages = _messages(given, name)
    if isinstance(system, str) and system.strip() and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": system})
    return messages


def _alpaca(record: dict[str, Any]) -> list[Message]:
    texts = {key: record.get(key) or "" for key in ("instruction", "input", "output", "system")}
    if wrong := next((key for key, text in texts.items() if not isinstance(text, str)), None):
        raise RowError(f"`{wrong}` is not a text")
    messages: list[Message] = []
    if texts["system"].strip():
        messages.append({"role": "system", "content": texts["system"]})
    for exchange in record.get("history") or ():
        if not isinstance(exchange, list) or len(exchange) != 2:
            raise RowError("`history` is not a list of [asked, answered]")
        messages.append({"role": "user", "content": str(exchange[0])})
        messages.append({"role": "assistant", "content": str(exchange[1])})
    asked = "\n\n".join(filter(None, (texts["instruction"].strip(), texts["input"].strip())))
    messages.append({"role": "user", "content": asked})
    messages.append({"role": "assistant", "content": texts["output"]})
    return messages


def _without_blank(messages: list[Message], mended: Counter[str]) -> list[Message]:
    said = [message for message in messages if not _is_blank(message)]
    if len(said) < len(messages):
        mended["empty turns"] += len(messages) - len(said)
    return said


def _is_blank(message: Message) -> bool:
    if message.get("tool_calls") or message.get("function_call"):
        return False
    return not (message["content"] or "").strip()
