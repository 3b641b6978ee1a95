"""/v1/chat/completions"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from modelserver.api.answer import add_usage, stream_events, unless_gone
from modelserver.api.rooms import Here, Rooms
from modelserver.api.sampling import Sampling
from modelserver.api.strict import Body, StrictRoute
from modelserver.api.tools import (
    CalledFunction,
    Choice,
    Function,
    Tool,
    ToolCall,
    turn_old,
    wire_tools,
)
from modelserver.catalog import Model
from modelserver.engine import Chunk
from modelserver.errors import BadRequestError
from modelserver.ids import new_id, now

router = APIRouter(prefix="/v1/chat/completions", tags=["chat"], route_class=StrictRoute)

# What models' chat templates know; the left side is the API's newer or older word for it.
_ROLES = {"developer": "system", "function": "tool"}


class Part(Body):
    type: str
    text: str | None = None
    refusal: str | None = None


class Message(Body):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    function_call: CalledFunction | None = None

    def to_wire(self) -> dict[str, Any]:
        wire = self.model_dump(include={"name", "tool_calls", "tool_call_id"}, exclude_none=True)
        if self.function_call and not self.tool_calls:
            wire["tool_calls"] = [self.function_call.as_tool_call]
        if self.role == "function":
            wire["tool_call_id"] = f"call_{self.name}"
        content = self.content
        if isinstance(content, list):
            content = "\n".join(_read_part(part) for part in content)
        return wire | {"role": _ROLES.get(self.role, self.role), "content": content or ""}


class CreateChatCompletion(Sampling):
    messages: Annotated[list[Message], Field(min_length=1, max_length=10_000)]
    max_completion_tokens: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    logprobs: bool | None = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: dict[str, Any] | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: Choice = None
    parallel_tool_calls: bool | None = None
    functions: Annotated[list[Function], Field(max_length=128)] | None = None
    function_call: Choice = None

    @property
    def has_old_functions(self) -> bool:
        return bool(self.functions) and not self.tools

    def to_wire(self) -> dict[str, Any]:
        wire = super().to_wire() | {"messages": [m.to_wire() for m in self.messages]}
        if self.max_completion_tokens is not None:
            wire["max_tokens"] = self.max_completion_tokens
        if self.logprobs:
            # llama.cpp gives none at all for 0; what is too many is taken away again.
            wire |= {"logprobs": True, "top_logprobs": max(1, self.top_logprobs or 0)}
        kept = {"response_format", "parallel_tool_calls"}
        return wire | self._wire_tools() | self.model_dump(include=kept, exclude_none=True)

    def _wire_tools(self) -> dict[str, Any]:
        if self.has_old_functions:
            tools = [Tool(type="function", function=one) for one in self.functions or ()]
            return wire_tools(tools, self.function_call, "function_call")
        return wire_tools(self.tools or (), self.tool_choice, "tool_choice")


@router.post("")
async def create(request: Request, here: Here, body: CreateChatCompletion) -> Response:
    chunks = stream_chat(here, body)
    if body.stream:
        return await stream_events(request, chunks)
    return JSONResponse(await unless_gone(request, _assemble(chunks, body.n or 1)))


def stream_chat(here: Rooms, body: CreateChatCompletion) -> AsyncGenerator[Chunk]:
    """Raises ModelNotFoundError at once; the rest when the first chunk is asked for."""
    model = here.catalog.find(body.model)
    wires = body.spread(body.to_wire())
    return _dress(here.generations.stream("chat", model, wires), model, body)


async def _dress(
    source: AsyncGenerator[Chunk], model: Model, body: CreateChatCompletion
) -> AsyncGenerator[Chunk]:
    """The engine's chunks as the API has them, with one usage chunk for all choices at the end."""
    head = {
        "id": new_id("chatcmpl-", 29),
        "object": "chat.completion.chunk",
        "created": now(),
        "model": model.name,
    }
    usages = []
    is_new: set[int] = set()
    async with aclosing(source):
        async for chunk in source:
            if usage := chunk.get("usage"):
                usages.append(usage)
            for choice in chunk["choices"]:
                dressed = _dress_choice(choice, body)
                if choice["index"] not in is_new:
                    is_new.add(choice["index"])
                    dressed["delta"] = {"role": "assistant", "content": ""} | dressed["delta"]
                yield head | {"choices": [dressed]}
    if body.wants_usage or not body.stream:
        yield head | {"choices": [], "usage": add_usage(usages, body.n or 1)}


def _dress_choice(choice: dict[str, Any], body: CreateChatCompletion) -> dict[str, Any]:
    delta = {key: value for key, value in choice["delta"].items() if value is not None}
    delta.pop("role", None)
    reason = choice["finish_reason"]
    if body.has_old_functions:
        delta = turn_old(delta)
        reason = "function_call" if reason == "tool_calls" else reason
    logprobs = choice.get("logprobs") if body.logprobs else None
    return {
        "index": choice["index"],
        "delta": delta,
        "logprobs": logprobs and _dress_logprobs(logprobs, body.top_logprobs or 0),
        "finish_reason": reason,
    }


def _dress_logprobs(logprobs: dict[str, Any], count: int) -> dict[str, Any]:
    def entry(token: dict[str, Any]) -> dict[str, Any]:
        return {key: token[key] for key in ("token", "logprob", "bytes")}

    content = [
        entry(token) | {"top_logprobs": [entry(top) for top in token["top_logprobs"][:count]]}
        for token in logprobs["content"] or ()
    ]
    return {"content": content, "refusal": None}


async def _assemble(chunks: AsyncIterator[Chunk], n: int) -> dict[str, Any]:
    """A whole completion from its chunks."""
    choices = [_Choice(index) for index in range(n)]
    whole: dict[str, Any] = {}
    async for chunk in chunks:
        whole |= chunk
        for piece in chunk["choices"]:
            choices[piece["index"]].add(piece)
    shown = [choice.show() for choice in choices]
    return whole | {"object": "chat.completion", "choices": shown}


class _Choice:
    """One answer while it grows."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._text: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._old_call: dict[str, Any] = {}
        self._logprobs: list[dict[str, Any]] | None = None
        self._finish_reason = "stop"

    def add(self, piece: dict[str, Any]) -> None:
        self._text.append(piece["delta"].get("content") or "")
        for call in piece["delta"].get("tool_calls", ()):
            self._add_call(call)
        for key, value in piece["delta"].get("function_call", {}).items():
            self._old_call[key] = self._old_call.get(key, "") + value
        if piece["logprobs"]:
            self._logprobs = (self._logprobs or []) + piece["logprobs"]["content"]
        self._finish_reason = piece["finish_reason"] or self._finish_reason

    def _add_call(self, call: dict[str, Any]) -> None:
        known = self._calls.setdefault(
            call["index"],
            {"id": "", "type": "function", "function": {"name": "", "arguments": ""}},
        )
        known["id"] = call.get("id") or known["id"]
        for key, value in call.get("function", {}).items():
            known["function"][key] += value

    def show(self) -> dict[str, Any]:
        text = "".join(self._text)
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if self._calls:
            message |= {"content": text or None, "tool_calls": list(self._calls.values())}
        if self._old_call:
            message |= {"content": text or None, "function_call": self._old_call}
        logprobs = self._logprobs
        return {
            "index": self._index,
            "message": message,
            "logprobs": None if logprobs is None else {"content": logprobs, "refusal": None},
            "finish_reason": self._finish_reason,
        }


def _read_part(part: Part) -> str:
    text = part.refusal if part.type == "refusal" else part.text
    if part.type not in ("text", "refusal") or text is None:
        raise BadRequestError(
            f"messages: a content part of type {part.type[:40]!a} can't be read: this "
            "server's models read text only; send parts of type 'text' with their 'text'.",
            param="messages",
        )
    return text
