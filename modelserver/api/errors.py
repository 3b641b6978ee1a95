"""Every error leaves in OpenAI's shape; what nobody foresaw becomes a 500 without its details."""

import logging
import sqlite3
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from modelserver.api.guard import error_response
from modelserver.errors import ApiError, BadRequestError, DiskFullError, NotFoundError
from modelserver.waits import is_disk_full

log = logging.getLogger(__name__)


def handle_errors(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    async def show_known(_: Request, error: ApiError) -> JSONResponse:
        return error_response(error)

    @app.exception_handler(RequestValidationError)
    async def show_invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return error_response(_explain(error))

    @app.exception_handler(HTTPException)
    async def show_http(request: Request, error: HTTPException) -> JSONResponse:
        response = error_response(_translate(request, error))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(OSError)
    @app.exception_handler(sqlite3.OperationalError)
    async def show_full_disk(_: Request, error: Exception) -> JSONResponse:
        if not is_disk_full(error):
            raise error
        log.error("%s: %s", type(error).__name__, error)
        return error_response(DiskFullError())

    @app.exception_handler(Exception)
    async def show_unknown(request: Request, _: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path)  # the server logs the trace
        message = "The server met an error of its own; its log has the details."
        return error_response(ApiError(message))


def _explain(error: RequestValidationError) -> BadRequestError:
    """The first key at fault, what is wrong with it, and the value where it is short."""
    problems = error.errors()
    if problems[0]["type"] == "json_invalid":
        reason = problems[0].get("ctx", {}).get("error", problems[0]["msg"])
        return BadRequestError(f"The body is not valid JSON: {reason}")
    first = _place(problems[0], error.body)
    related = [(one, _place(one, error.body)) for one in problems]
    related = [(one, place) for one, place in related if place[: len(first)] == first]
    # Where a key takes several types, the deepest complaint says most, and the last of those.
    problem, place = max(reversed(related), key=lambda pair: len(pair[1]))
    param = ".".join(place) or None
    message = f"{param or 'The body'}: {problem['msg']}{_show(problem.get('input'))}"
    return BadRequestError(message, param=param)


def _place(problem: Any, body: Any) -> list[str]:
    """The path of keys in the request, without the names of types that pydantic adds."""
    place: list[str] = []
    for part in problem["loc"][1:]:
        if (isinstance(body, dict) and part in body) or (
            isinstance(body, list) and isinstance(part, int) and part < len(body)
        ):
            body = body[part]
        elif problem["type"] != "missing" and place:
            continue
        place.append(str(part))
    return place


def _show(value: Any) -> str:
    shown = ascii(value) if isinstance(value, bool | int | float | str) else ""
    return f", not {shown}" if 0 < len(shown) <= 42 else ""


def _translate(request: Request, error: HTTPException) -> ApiError:
    cause = error.__cause__  # raised while the body was read
    if isinstance(cause, ApiError):
        return cause
    if isinstance(cause, Exception) and is_disk_full(cause):
        return DiskFullError()
    if error.status_code == 404:
        return NotFoundError(f"Unknown request URL: {request.method} {request.url.path}")
    known: ApiError = BadRequestError(str(error.detail))
    known.status = error.status_code
    return known
