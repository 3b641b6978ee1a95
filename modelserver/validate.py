"""Checks a training file line by line before anything is trained on it."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

MIN_EXAMPLES = 10  # OpenAI's limit
MAX_LINE_BYTES = 8 << 20
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_CHAT_KEYS = {"messages", "tools", "parallel_tool_calls", "functions", "metadata"}
_DPO_KEYS = {"input", "preferred_completion", "non_preferred_completion", "metadata"}
_COMPLETION_KEYS = {"prompt", "completion"}


class TrainingFileError(ValueError):
    """What is wrong with which line, and the way out."""


def count_examples(path: Path, at_most: int) -> int:
    """Lines that are not blank; stops counting at `at_most`."""
    count = 0
    for _, line in _read_lines(path):
        count += bool(line.strip())
        if count >= at_most:
            break
    return count


def check_file(path: Path, method: str, *, at_least: int = MIN_EXAMPLES) -> int:
    """Returns the number of examples. Raises TrainingFileError at the first bad line."""
    count = 0
    for number, line in _read_lines(path):
        if line.strip():
            _Line(number).check(line, method)
            count += 1
    if count < at_least:
        raise TrainingFileError(
            f"the file has {count} example(s), but must have at least {at_least}: "
            "add more lines and upload it again"
        )
    return count


def _read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise TrainingFileError(
                    f"line {number} is longer than {MAX_LINE_BYTES >> 20} MB: is there a line "
                    "break missing? Each line holds one example"
                )
            yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line


class _Line:
    """One line under examination; every complaint starts with its number."""

    def __init__(self, number: int) -> None:
        self._number = number

    def fail(self, complaint: str) -> NoReturn:
        raise TrainingFileError(f"line {self._number}: {complaint}")

    def check(self, line: bytes, method: str) -> None:
        example = self._parse(line)
        if method == "dpo":
            self._check_pair(example)
        elif "prompt" in example or "completion" in example:
            self._check_completion(example)
        else:
            self._check_keys(example, _CHAT_KEYS, "")
            self._check_messages(example.get("messages"), "messages")
            self._check_learns(example["messages"])

    def _parse(self, line: bytes) -> dict[str, Any]:
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            self.fail(f"byte {error.start + 1} is not UTF-8: save the file as UTF-8")
        try:
            example = json.loads(text, parse_constant=self._refuse_constant)
            text_of_it = json.dumps(example, ensure_ascii=False)
            text_of_it.encode("utf-8")
        except json.JSONDecodeError as error:
            self.fail(f"not JSON: {error.msg} at column {error.colno}. One JSON object a line")
        except UnicodeEncodeError:
            self.fail("half of a surrogate pair (\\ud800 to \\udfff): write the whole character")
        except (RecursionError, TrainingFileError) as error:
            self.fail(str(error) if isinstance(error, TrainingFileError) else "nested too deeply")
        except ValueError as error:
            self.fail(f"not JSON: {error}")
        if not isinstance(example, dict):
            self.fail(f"a {_kind(example)}, but an example is an object with the key 'messages'")
        return example

    def _refuse_constant(self, constant: str) -> NoReturn:
        raise TrainingFileError(f"{constant} is not a JSON number: write a number or null")

    def _check_keys(self, value: dict[str, Any], allowed: set[str], where: str) -> None:
        for key in value.keys() - allowed:
            self.fail(f"{where}{key!r} is not a known key; known are {', '.join(sorted(allowed))}")

    def _check_completion(self, example: dict[str, Any]) -> None:
        self._check_keys(example, _COMPLETION_KEYS, "")
        for key in sorted(_COMPLETION_KEYS):
            if not isinstance(example.get(key), str):
                self.fail(f"{key} must be a text, not {_show(example.get(key))}")
        if not example["completion"]:
            self.fail("completion is empty: there is nothing to learn from this line; remove it")

    def _check_pair(self, example: dict[str, Any]) -> None:
        self._check_keys(example, _DPO_KEYS, "")
        given = example.get("input")
        if not isinstance(given, dict):
            self.fail(f"input must be an object with 'messages', not {_show(given)}")
        self._check_messages(given.get("messages"), "input.messages")
        for key in ("preferred_completion", "non_preferred_completion"):
            self._check_messages(example.get(key), key)
            if len(example[key]) != 1 or example[key][0]["role"] != "assistant":
                self.fail(f"{key} must hold exactly one message, of role assistant")

    def _check_messages(self, messages: Any, where: str) -> None:
        if not isinstance(messages, list) or not messages:
            self.fail(f"{where} must be a list of at least one message, not {_show(messages)}")
        for index, message in enumerate(messages):
            self._check_message(message, f"{where}[{index}]")

    def _check_message(self, message: Any, where: str) -> None:
        if not isinstance(message, dict):
            self.fail(f"{where} must be an object, not {_show(message)}")
        if message.get("role") not in _ROLES:
            self.fail(
                f"{where}.role is {_show(message.get('role'))}; use one of {', '.join(_ROLES)}"
            )
        self._check_weight(message, where)
        self._check_content(message, where)

    def _check_weight(self, message: dict[str, Any], where: str) -> None:
        weight = message.get("weight")
        if weight is None:
            return
        if message["role"] != "assistant":
            self.fail(f"{where}.weight stands on a {message['role']} message; remove it there")
        if isinstance(weight, bool) or weight not in (0, 1):
            self.fail(f"{where}.weight is {_show(weight)}; use 0 (don't train on it) or 1")

    def _check_content(self, message: dict[str, Any], where: str) -> None:
        content = message.get("content")
        if isinstance(content, str):
            return
        calls = message.get("tool_calls") or message.get("function_call")
        if content is None and message["role"] == "assistant" and calls:
            return
        if isinstance(content, list) and content:
            for index, part in enumerate(content):
                self._check_part(part, f"{where}.content[{index}]")
            return
        self.fail(f"{where}.content must be a text, not {_show(content)}")

    def _check_part(self, part: Any, where: str) -> None:
        if not isinstance(part, dict) or part.get("type") != "text":
            self.fail(f"{where} must be a part of type 'text': this server trains on text only")
        if not isinstance(part.get("text"), str):
            self.fail(f"{where}.text must be a text, not {_show(part.get('text'))}")

    def _check_learns(self, messages: list[dict[str, Any]]) -> None:
        if not any(m["role"] == "assistant" and m.get("weight") != 0 for m in messages):
            self.fail("no assistant message to learn from: add one, or set its weight to 1")


def _kind(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return "number"
    return {list: "list", str: "text", int: "number", bool: "boolean"}.get(type(value), "null")


def _show(value: Any) -> str:
    """The value as JSON, cut short."""
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"
