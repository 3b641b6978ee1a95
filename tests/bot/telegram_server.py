"""A small Bot API server on loopback, in the documented shapes, with Telegram's refusals.

It checks what Telegram checks: the token, the length of a text and the reach of its entities in
UTF-16 code units, drafts in private chats alone, an update being confirmed by a higher offset.
https://core.telegram.org/bots/api#making-requests
"""

import asyncio
import itertools
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOKEN = "123456:test-token"
ME = {"id": 123456, "is_bot": True, "first_name": "Nod", "username": "nod_test_bot"}
_DATE = 1_790_000_000


class RefusalError(Exception):
    """What Telegram answers instead of a result."""

    def __init__(self, code: int, description: str, **parameters: Any) -> None:
        self.code, self.description, self.parameters = code, description, parameters


@dataclass
class TelegramServer:
    """Chats with negative ids are groups."""

    url: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    messages: dict[int, dict[str, Any]] = field(default_factory=dict)
    refusals: dict[str, deque[RefusalError]] = field(default_factory=dict)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    """A method with one answers once it is open."""
    updates: list[dict[str, Any]] = field(default_factory=list)
    confirmed: int = 0
    _ids: Any = field(default_factory=lambda: itertools.count(100))
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def write(self, text: str, *, chat_id: int = 7, sender: int | None = None, **more: Any) -> int:
        """Somebody writes to the bot; the message's id."""
        message = self._message(chat_id, sender or abs(chat_id), {"text": text} | more)
        self._update({"message": message})
        return int(message["message_id"])

    def write_again(self) -> None:
        """The newest update is delivered once more, as after a lost confirmation."""
        newest = {key: value for key, value in self.updates[-1].items() if key != "update_id"}
        self._update(newest)

    def press(self, button: str, *, sender: int) -> None:
        """Somebody presses the newest button that says so."""
        for message in reversed(self.messages.values()):
            keyboard = message.get("reply_markup", {}).get("inline_keyboard", [])
            for each in itertools.chain(*keyboard):
                if each["text"] == button and message["chat"]["id"] == sender:
                    query = {"id": str(next(self._ids)), "from": _person(sender)}
                    query |= {"message": message, "chat_instance": "1"}
                    self._update({"callback_query": query | {"data": each["callback_data"]}})
                    return
        raise AssertionError(f"there is no button {button!r}")

    def refuse(self, method: str, code: int, description: str, **parameters: Any) -> None:
        """Answer the next call of a method so."""
        self.refusals.setdefault(method, deque()).append(
            RefusalError(code, description, **parameters)
        )

    def texts_in(self, chat_id: int) -> list[str]:
        """What the bot has written in a chat, as it reads now."""
        return [
            message.get("text", "")
            for message in self.messages.values()
            if message["chat"]["id"] == chat_id and message["from"]["is_bot"]
        ]

    def called(self, method: str) -> list[dict[str, Any]]:
        return [data for name, data in self.calls if name == method]

    def _update(self, content: dict[str, Any]) -> None:
        self.updates.append({"update_id": next(self._ids)} | content)
        self._changed.set()

    def _message(self, chat_id: int, sender: int, content: dict[str, Any]) -> dict[str, Any]:
        chat = {"id": chat_id, "type": "group" if chat_id < 0 else "private"}
        chat |= {"title": "A group"} if chat_id < 0 else {"first_name": "Ann"}
        message = {"message_id": next(self._ids), "date": _DATE, "chat": chat}
        message |= {"from": ME if sender == ME["id"] else _person(sender)} | content
        self.messages[message["message_id"]] = message
        return message

    async def answer(self, request: Request) -> Response:
        token, method = request.path_params["token"], request.path_params["method"]
        form = await request.form()
        data = {
            key: await value.read() if isinstance(value, UploadFile) else _parse(value)
            for key, value in form.items()
        }
        self.calls.append((method, data))
        await self._wait_at_gate(method)
        try:
            if token != TOKEN:
                raise RefusalError(401, "Unauthorized")
            if self.refusals.get(method):
                raise self.refusals[method].popleft()
            result = await getattr(self, method)(data)
        except RefusalError as refusal:
            body = {"ok": False, "error_code": refusal.code, "description": refusal.description}
            if refusal.parameters:
                body["parameters"] = refusal.parameters
            return JSONResponse(body, refusal.code)
        return JSONResponse({"ok": True, "result": result})

    async def _wait_at_gate(self, method: str) -> None:
        if gate := self.gates.get(method):
            await gate.wait()

    async def getMe(self, data: dict[str, Any]) -> Any:
        return ME | {
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
        }

    async def getUpdates(self, data: dict[str, Any]) -> Any:
        self.confirmed = max(self.confirmed, int(data.get("offset", 0)) - 1)
        self._changed.clear()
        waiting = [each for each in self.updates if each["update_id"] > self.confirmed]
        if not waiting and data.get("timeout"):
            try:
                await asyncio.wait_for(self._changed.wait(), min(2, int(data["timeout"])))
            except TimeoutError:
                return []
            waiting = [each for each in self.updates if each["update_id"] > self.confirmed]
        return waiting

    async def sendMessage(self, data: dict[str, Any]) -> Any:
        content = _checked_text(data)
        if "reply_markup" in data:
            content["reply_markup"] = data["reply_markup"]
        return self._message(int(data["chat_id"]), ME["id"], content)

    async def editMessageText(self, data: dict[str, Any]) -> Any:
        message = self.messages.get(int(data["message_id"]))
        if message is None:
            raise RefusalError(400, "Bad Request: message to edit not found")
        content = _checked_text(data)
        if message["text"] == content["text"] and "reply_markup" not in message:
            raise RefusalError(400, "Bad Request: message is not modified")
        message.pop("reply_markup", None)
        if "reply_markup" in data:
            content["reply_markup"] = data["reply_markup"]
        return message | content if message.update(content) is None else message

    async def sendPhoto(self, data: dict[str, Any]) -> Any:
        photo = {"file_id": "p1", "file_unique_id": "p1", "width": 900, "height": 420}
        content = {"photo": [photo], "caption": data.get("caption", "")}
        if len(content["caption"]) > 1024:
            raise RefusalError(400, "Bad Request: message caption is too long")
        return self._message(int(data["chat_id"]), ME["id"], content)

    async def sendMessageDraft(self, data: dict[str, Any]) -> Any:
        if int(data["chat_id"]) < 0:
            raise RefusalError(400, "Bad Request: drafts are for private chats")
        if not int(data["draft_id"]):
            raise RefusalError(400, "Bad Request: draft_id must be non-zero")
        _checked_text(data)
        return True

    async def sendChatAction(self, data: dict[str, Any]) -> Any:
        return True

    async def answerCallbackQuery(self, data: dict[str, Any]) -> Any:
        return True


def _checked_text(data: dict[str, Any]) -> dict[str, Any]:
    text = str(data.get("text", ""))
    units = text.encode("utf-16-le")
    length = len(units) // 2
    if not text.strip():
        raise RefusalError(400, "Bad Request: message text is empty")
    if length > 4096:
        raise RefusalError(400, "Bad Request: message is too long")
    entities = data.get("entities", [])
    for entity in entities:
        if entity["length"] < 1 or entity["offset"] + entity["length"] > length:
            raise RefusalError(400, "Bad Request: entity is out of range")
    return {"text": text} | ({"entities": entities} if entities else {})


def _person(id_: int) -> dict[str, Any]:
    return {"id": id_, "is_bot": False, "first_name": "Ann", "last_name": "Lee"}


def _parse(value: str) -> Any:
    """Everything but text comes as JSON; a text that looks like it is told by its key below."""
    try:
        parsed = json.loads(value)
    except ValueError:
        return value
    return parsed if isinstance(parsed, dict | list | int) else value


@asynccontextmanager
async def telegram_server() -> AsyncIterator[TelegramServer]:
    """Serves on a free port until the block ends."""
    server = TelegramServer()
    app = Starlette(routes=[Route("/bot{token}/{method}", server.answer, methods=["GET", "POST"])])
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="off")
    process = uvicorn.Server(config)
    process.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(process.serve())
    while not process.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    server.url = f"http://127.0.0.1:{process.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        process.should_exit = process.force_exit = True
        await task
