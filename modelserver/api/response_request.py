"""What a request to /v1/responses asks, told as a chat completion; what is not kept is refused."""

from typing import Annotated, Any, Literal, NoReturn

from pydantic import Field, ValidationError

from modelserver.api.chat import CreateChatCompletion
from modelserver.api.strict import Body
from modelserver.errors import BadRequestError

LOGPROBS = "message.output_text.logprobs"
_TEXT_PARTS = ("input_text", "output_text", "text", "refusal")


class Part(Body):
    type: str
    text: str | None = None
    refusal: str | None = None


class Item(Body):
    """A message (which may leave its type out), a function call, or what a function gave back."""

    type: str = "message"
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: str | list[Part] | None = None
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    output: str | list[Part] = ""


class Tool(Body):
    type: str
    name: str = ""
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Text(Body):
    format: dict[str, Any] | None = None


class CreateResponse(Body):
    model: str
    input: str | Annotated[list[Item], Field(max_length=10_000)] = ""
    instructions: str | None = None
    stream: bool | None = False
    max_output_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    include: list[str] | None = None
    text: Text | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: str | dict[str, Any] | None = None
    prompt: dict[str, Any] | None = None

    @property
    def wants_logprobs(self) -> bool:
        return LOGPROBS in (self.include or ())

    def to_chat(self) -> CreateChatCompletion:
        """Raises BadRequestError for what this server does not keep or run."""
        self._refuse_memory()
        try:
            return CreateChatCompletion.model_validate(self._chat())
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            _refuse(".".join(map(str, problem["loc"])), problem["msg"])

    def _chat(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": self._messages(),
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "logprobs": self.wants_logprobs,
            "top_logprobs": self.top_logprobs,
            "response_format": _read_format(self.text),
            "tools": [_read_tool(tool) for tool in self.tools] if self.tools else None,
            "tool_choice": _read_choice(self.tool_choice) if self.tools else None,
            "parallel_tool_calls": self.parallel_tool_calls if self.tools else None,
        }

    def _refuse_memory(self) -> None:
        for key in ("store", "background", "previous_response_id", "conversation", "prompt"):
            if getattr(self, key):
                _refuse(key, "this server keeps no responses; send the whole conversation as input")

    def _messages(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        if self.instructions:
            messages.append({"role": "system", "content": self.instructions})
        if isinstance(self.input, str):
            return [*messages, {"role": "user", "content": self.input}]
        for index, item in enumerate(self.input):
            _add_item(messages, item, f"input.{index}")
        if not messages:
            _refuse("input", "give a text, or a list of at least one message")
        return messages


def _add_item(messages: list[dict[str, Any]], item: Item, where: str) -> None:
    if item.type == "message" and item.role and item.content is not None:
        messages.append({"role": item.role, "content": _read_content(item.content, where)})
    elif item.type == "function_call":
        # Calls that were made together stand on one message.
        if not (messages and messages[-1].get("tool_calls")):
            messages.append({"role": "assistant", "tool_calls": []})
        called = {"name": item.name, "arguments": item.arguments}
        messages[-1]["tool_calls"].append({"id": item.call_id, "function": called})
    elif item.type == "function_call_output":
        content = _read_content(item.output, where)
        messages.append({"role": "tool", "tool_call_id": item.call_id, "content": content})
    elif item.type == "message":
        _refuse(where, "a message needs a role and a content")
    elif item.type != "reasoning":  # other models' thoughts: nothing to this one
        _refuse(
            f"{where}.type",
            f"{item.type[:40]!a} can't be read here; send 'message', 'function_call' or "
            "'function_call_output'",
        )


def _read_content(content: str | list[Part], where: str) -> str:
    if isinstance(content, str):
        return content
    texts = []
    for index, part in enumerate(content):
        text = part.refusal if part.type == "refusal" else part.text
        if part.type not in _TEXT_PARTS or text is None:
            _refuse(
                f"{where}.content.{index}",
                f"a part of type {part.type[:40]!a} can't be read: this server's models read text "
                "only; send parts of type 'input_text' with their 'text'",
            )
        texts.append(text)
    return "\n".join(texts)


def _read_format(text: Text | None) -> dict[str, Any] | None:
    if text is None or text.format is None or text.format.get("type") == "text":
        return None
    if text.format.get("type") != "json_schema":
        return text.format
    schema = {key: value for key, value in text.format.items() if key != "type"}
    return {"type": "json_schema", "json_schema": schema}


def _read_tool(tool: Tool) -> dict[str, Any]:
    if tool.type != "function":
        _refuse(
            "tools", f"{tool.type[:40]!a} does not run on this server; only 'function' tools do"
        )
    function = {"name": tool.name, "description": tool.description or ""}
    return {"type": "function", "function": function | {"parameters": tool.parameters or {}}}


def _read_choice(choice: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
    if isinstance(choice, dict) and "name" in choice:
        return {"type": "function", "function": {"name": choice["name"]}}
    return choice


def _refuse(param: str, reason: str) -> NoReturn:
    raise BadRequestError(f"{param}: {reason}.", param=param)
