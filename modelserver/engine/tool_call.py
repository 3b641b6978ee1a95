"""A function call that a request demands, made certain.

llama.cpp takes such a demand for a wish: it reads one named function as "auto", enforces
"required" for a few chat templates alone, and leaves tools out where a template knows none. So
the model is told of the function in plain text, whatever its template, and writes the arguments
under a grammar that lets nothing else through.
"""

import json
from collections.abc import Callable
from typing import Any

from modelserver.engine import Chunk, Emit
from modelserver.ids import new_id

Generate = Callable[[dict[str, Any], Emit], None]

_NAME_TOKENS = 64


def generate_call(generate: Generate, request: dict[str, Any], emit: Emit) -> None:
    """One call, of the one function or of the one that the model picks, in the API's chunks."""
    functions = [tool["function"] for tool in request["tools"]]
    plain = {
        key: value
        for key, value in request.items()
        if key not in ("tools", "tool_choice", "parallel_tool_calls")
    }
    function = functions[0] if len(functions) == 1 else _pick(generate, plain, functions)
    schema = function.get("parameters") or {"type": "object"}
    note = f"Call the function {_describe(function)}\nWrite its arguments alone, as JSON for this "
    note += f"schema: {json.dumps(schema, ensure_ascii=False)}"
    generate(_ask(plain, note, schema), _Caller(function["name"], emit).take)


def _pick(
    generate: Generate, request: dict[str, Any], functions: list[dict[str, Any]]
) -> dict[str, Any]:
    """The function whose name the model writes, when it can write nothing but their names."""
    note = "Which of these functions is to be called?\n" + "\n".join(map(_describe, functions))
    schema = {"enum": [function["name"] for function in functions]}
    written: list[str] = []

    def take(chunk: Chunk) -> bool:
        written.extend(c["delta"].get("content") or "" for c in chunk["choices"])
        return False

    limits = {"max_tokens": _NAME_TOKENS, "temperature": 0, "logprobs": False}
    generate(_ask(request, note, schema) | limits, take)
    name = "".join(written).strip().strip('"')
    return next((one for one in functions if one["name"] == name), functions[0])


def _describe(function: dict[str, Any]) -> str:
    return f"{function['name']}: {function.get('description') or 'no description'}"


def _ask(request: dict[str, Any], note: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The request with a note at its beginning, and an answer that must fit the schema."""
    first, *rest = request["messages"]
    if first["role"] == "system":
        messages = [first | {"content": f"{first['content']}\n\n{note}"}, *rest]
    else:
        messages = [{"role": "system", "content": note}, first, *rest]
    wanted = {"type": "json_schema", "json_schema": {"name": "call", "schema": schema}}
    return request | {"messages": messages, "response_format": wanted}


class _Caller:
    """Turns the text of an answer into the arguments of a call."""

    def __init__(self, name: str, emit: Emit) -> None:
        self._begun: dict[str, Any] | None = {
            "index": 0,
            "id": new_id("call_"),
            "type": "function",
            "function": {"name": name, "arguments": ""},
        }
        self._emit = emit

    def take(self, chunk: Chunk) -> bool:
        return self._emit(chunk | {"choices": [self._turn(c) for c in chunk["choices"]]})

    def _turn(self, choice: dict[str, Any]) -> dict[str, Any]:
        text = choice["delta"].get("content") or ""
        calls = [self._begun] if self._begun else []
        self._begun = None
        if text:
            calls.append({"index": 0, "function": {"arguments": text}})
        reason = choice["finish_reason"]
        return choice | {
            "delta": {"tool_calls": calls} if calls else {},
            "logprobs": None,
            "finish_reason": "tool_calls" if reason == "stop" else reason,
        }
