"""Functions that a model may call: as tools, and in the older form with `functions`."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NoReturn

from pydantic import Field, StringConstraints

from modelserver.api.strict import Body
from modelserver.errors import BadRequestError

Choice = str | dict[str, Any] | None


class Function(Body):
    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)


class Tool(Body):
    type: Literal["function"]
    function: Function


class CalledFunction(Body):
    name: str
    arguments: str

    @property
    def as_tool_call(self) -> dict[str, Any]:
        """The older form has no ids: a call and its result share the function's name."""
        return {"id": f"call_{self.name}", "type": "function", "function": self.model_dump()}


class ToolCall(Body):
    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


def wire_tools(tools: Sequence[Tool], choice: Choice, param: str) -> dict[str, Any]:
    """The engine's part of a request: a function that must be called is offered alone.

    `param` is what the client calls its choice. Raises BadRequestError where it can't be met.
    """
    if isinstance(choice, dict):
        tools, choice = [_find(tools, choice, param)], "required"
    if choice not in (None, "none", "auto", "required"):
        _refuse(param, f"{choice[:40]!a} is neither 'none', 'auto' or 'required' nor a function")
    if not tools:
        if choice == "required":
            _refuse(param, "there is no function to call; give one in tools")
        return {}
    offered = [tool.model_dump() for tool in tools]
    return {"tools": offered} | ({"tool_choice": choice} if choice else {})


def _find(tools: Sequence[Tool], choice: dict[str, Any], param: str) -> Tool:
    """`{"type": "function", "function": {"name": N}}`, or `{"name": N}` as of old."""
    named = choice.get("function", choice)
    name = named.get("name") if isinstance(named, dict) else None
    found = [tool for tool in tools if tool.function.name == name]
    if not found:
        _refuse(param, f"there is no function {str(name)[:64]!a} among those that were given")
    return found[0]


def turn_old(delta: dict[str, Any]) -> dict[str, Any]:
    """A piece of an answer with its first call in the older form, which has no more than one."""
    calls = delta.pop("tool_calls", ())
    first = [call["function"] for call in calls if call["index"] == 0 and "function" in call]
    return delta | ({"function_call": first[0]} if first else {})


def _refuse(param: str, reason: str) -> NoReturn:
    raise BadRequestError(f"{param}: {reason}.", param=param)
