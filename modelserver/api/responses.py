"""/v1/responses: text and function calls, by way of a chat completion. Nothing is kept."""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from modelserver.api.answer import stream_events, unless_gone
from modelserver.api.chat import stream_chat
from modelserver.api.response_events import Event, tell_response
from modelserver.api.response_request import CreateResponse
from modelserver.api.rooms import Here
from modelserver.api.strict import StrictRoute
from modelserver.errors import NotFoundError

router = APIRouter(prefix="/v1/responses", tags=["responses"], route_class=StrictRoute)


@router.post("")
async def create(request: Request, here: Here, body: CreateResponse) -> Response:
    events = tell_response(body, stream_chat(here, body.to_chat()))
    if body.stream:
        return await stream_events(request, events, are_named=True)
    return JSONResponse(await unless_gone(request, _read_last(events)))


@router.get("/{response_id}")
@router.delete("/{response_id}")
def refuse(response_id: str) -> None:
    raise NotFoundError(
        f"Response with id '{response_id}' not found: this server keeps no responses.",
        param="response_id",
    )


async def _read_last(events: AsyncIterator[Event]) -> dict[str, Any]:
    response: dict[str, Any] = {}
    async for event in events:
        response = event.get("response", response)
    return response
