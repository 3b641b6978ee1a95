"""What the chat page posts: read within a limit, checked, and refused with a reason."""

from typing import TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field, ValidationError, field_validator

from bot.channels.web_guard import PLAIN_PAGE_POLICY, SECURITY_HEADERS
from bot.inbox import MAX_TEXT_CHARS

MAX_BODY = 100_000
"""Bytes: the longest message in the widest script, escaped, and room to spare."""
PAGE_HEADERS = {**SECURITY_HEADERS, "Content-Security-Policy": PLAIN_PAGE_POLICY}
_TOO_LONG = f"The message is too long: {MAX_TEXT_CHARS} characters are the most."

_P = TypeVar("_P", bound=BaseModel)


class MessagePost(BaseModel):
    """POST /chat/messages"""

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{8,64}$")
    text: str = Field(max_length=MAX_TEXT_CHARS)

    @field_validator("text")
    @classmethod
    def _says_something(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("the message is empty")
        return text


async def read_post(request: Request, kind: type[_P]) -> _P | Response:
    """What was posted, or the refusal. A body that is too large is not read to its end."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY:
            return refuse(413, _TOO_LONG)
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        return _explain(error)


def refuse(status: int, why: str, *, wait_s: float | None = None) -> Response:
    """An error that the page can show."""
    headers = dict(PAGE_HEADERS)
    if wait_s is not None:
        headers["Retry-After"] = str(max(1, round(wait_s + 0.5)))
    return JSONResponse({"error": why}, status, headers=headers)


def _explain(error: ValidationError) -> Response:
    problem = error.errors(include_url=False, include_input=False)[0]
    if problem["type"] == "string_too_long":
        return refuse(413, _TOO_LONG)
    where = ".".join(map(str, problem["loc"])) or "body"
    return refuse(422, f"{where}: {problem['msg'].removeprefix('Value error, ')}")
