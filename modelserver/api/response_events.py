"""A response while it grows: each chunk of the chat completion becomes the events it stands for."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

from modelserver.api.response_request import CreateResponse
from modelserver.engine import Chunk
from modelserver.errors import ApiError
from modelserver.ids import new_id, now

Event = dict[str, Any]


async def tell_response(
    body: CreateResponse, chunks: AsyncGenerator[Chunk]
) -> AsyncGenerator[Event]:
    """Events up to `response.completed`, `.incomplete` or `.failed`.

    Raises ApiError while nothing was told yet, so that what is wrong is still a status code,
    and at any time where nobody reads along.
    """
    async with aclosing(chunks):
        first = await anext(chunks, None)
        growing = _Response(body)
        for event in growing.begin():
            yield event
        try:
            if first is not None:
                for event in growing.add(first):
                    yield event
            async for chunk in chunks:
                for event in growing.add(chunk):
                    yield event
        except ApiError as error:
            if not body.stream:
                raise
            yield growing.fail(error)
            return
        for event in growing.end():
            yield event


class _Response:
    """Items in the order in which they began: a text, function calls, or both."""

    def __init__(self, body: CreateResponse) -> None:
        self._body = body
        self._head = {"id": new_id("resp_", 32), "object": "response", "created_at": now()}
        self._items: list[_Item] = []
        self._usage: dict[str, Any] | None = None
        self._finish_reason = "stop"
        self._count = 0

    def begin(self) -> Iterator[Event]:
        yield self._event("response.created", response=self._show("in_progress"))
        yield self._event("response.in_progress", response=self._show("in_progress"))

    def add(self, chunk: Chunk) -> Iterator[Event]:
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk["choices"]:
            self._finish_reason = choice["finish_reason"] or self._finish_reason
            if text := choice["delta"].get("content"):
                logprobs = (choice["logprobs"] or {}).get("content", [])
                yield from self._grow(self._item_of(_Text, 0), text, logprobs)
            for call in choice["delta"].get("tool_calls", ()):
                yield from self._add_call(call)

    def _add_call(self, call: dict[str, Any]) -> Iterator[Event]:
        item = self._item_of(_Call, call["index"])
        item.call_id = call.get("id") or item.call_id
        item.name += call.get("function", {}).get("name") or ""
        yield from self._grow(item, call.get("function", {}).get("arguments") or "", [])

    def _item_of(self, kind: type["_Item"], number: int) -> Any:
        for item in self._items:
            if isinstance(item, kind) and item.number == number:
                return item
        self._items.append(kind(number))
        return self._items[-1]

    def _grow(self, item: "_Item", text: str, logprobs: list[Any]) -> Iterator[Event]:
        place = {"output_index": self._items.index(item)}
        if not item.is_told:
            item.is_told = True
            yield self._event("response.output_item.added", **place, item=item.show("in_progress"))
            yield from self._tell(place, item.begin())
        if text:
            yield from self._tell(place, [item.grow(text, logprobs)])

    def _tell(self, place: dict[str, int], told: list[tuple[str, Event]]) -> Iterator[Event]:
        for name, what in told:
            yield self._event(f"response.{name}", **place, **what)

    def end(self) -> Iterator[Event]:
        status = "incomplete" if self._finish_reason == "length" else "completed"
        for index, item in enumerate(self._items):
            place = {"output_index": index}
            yield from self._tell(place, item.end())
            yield self._event("response.output_item.done", **place, item=item.show(status))
        yield self._event(f"response.{status}", response=self._show(status))

    def fail(self, error: ApiError) -> Event:
        problem = {"code": "server_error", "message": error.message}
        return self._event("response.failed", response=self._show("failed") | {"error": problem})

    def _event(self, kind: str, **what: Any) -> Event:
        self._count += 1
        return {"type": kind, "sequence_number": self._count - 1, **what}

    def _show(self, status: str) -> dict[str, Any]:
        body = self._body
        is_cut = status == "incomplete"
        return self._head | {
            "status": status,
            "model": body.model,
            "output": [item.show(status) for item in self._items],
            "usage": _show_usage(self._usage),
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata or {},
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": None,
            "store": False,
            "temperature": body.temperature,
            "text": {"format": (body.text and body.text.format) or {"type": "text"}},
            "tool_choice": body.tool_choice or "auto",
            "tools": [_show_tool(tool.model_dump()) for tool in body.tools or ()],
            "top_logprobs": body.top_logprobs or 0,
            "top_p": body.top_p,
            "truncation": "disabled",
        }


class _Item(ABC):
    """One piece of the output; `number` tells calls apart."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_told = False
        self._id = new_id("msg_" if isinstance(self, _Text) else "fc_", 32)
        self._text = ""

    def begin(self) -> list[tuple[str, Event]]:
        return []

    @abstractmethod
    def grow(self, text: str, logprobs: list[Any]) -> tuple[str, Event]: ...

    @abstractmethod
    def end(self) -> list[tuple[str, Event]]: ...

    @abstractmethod
    def show(self, status: str) -> dict[str, Any]: ...


class _Text(_Item):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self._logprobs: list[Any] = []

    def begin(self) -> list[tuple[str, Event]]:
        return [("content_part.added", self._place() | {"part": self._part()})]

    def grow(self, text: str, logprobs: list[Any]) -> tuple[str, Event]:
        self._text += text
        self._logprobs += logprobs
        return "output_text.delta", self._place() | {"delta": text, "logprobs": logprobs}

    def end(self) -> list[tuple[str, Event]]:
        done = {"text": self._text, "logprobs": self._logprobs}
        return [
            ("output_text.done", self._place() | done),
            ("content_part.done", self._place() | {"part": self._part()}),
        ]

    def show(self, status: str) -> dict[str, Any]:
        content = [self._part()] if self.is_told and self._text else []
        head = {"id": self._id, "type": "message", "role": "assistant"}
        return head | {"status": _item_status(status), "content": content}

    def _place(self) -> Event:
        return {"item_id": self._id, "content_index": 0}

    def _part(self) -> dict[str, Any]:
        part = {"type": "output_text", "text": self._text, "annotations": []}
        return part | {"logprobs": list(self._logprobs)}


class _Call(_Item):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.call_id = ""
        self.name = ""

    def grow(self, text: str, logprobs: list[Any]) -> tuple[str, Event]:  # noqa: ARG002
        self._text += text
        return "function_call_arguments.delta", {"item_id": self._id, "delta": text}

    def end(self) -> list[tuple[str, Event]]:
        done = {"item_id": self._id, "name": self.name, "arguments": self._text}
        return [("function_call_arguments.done", done)]

    def show(self, status: str) -> dict[str, Any]:
        head = {"id": self._id, "type": "function_call", "status": _item_status(status)}
        return head | {"call_id": self.call_id, "name": self.name, "arguments": self._text}


def _item_status(status: str) -> str:
    return "incomplete" if status == "failed" else status


def _show_tool(tool: dict[str, Any]) -> dict[str, Any]:
    return tool | {"strict": bool(tool["strict"]), "parameters": tool["parameters"] or {}}


def _show_usage(usage: dict[str, Any] | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage["total_tokens"],
    }
