"""/v1/engines: what models were called before 2023, as scripts with `engine=...` still ask."""

from typing import Any

from fastapi import APIRouter, Request, Response

from modelserver.api import chat, completions, embeddings
from modelserver.api.rooms import Here
from modelserver.api.strict import StrictRoute

router = APIRouter(prefix="/v1/engines", tags=["2023"], route_class=StrictRoute)


# The path names the model, whatever the body holds: the client of 2023 sends null there.


class EngineChat(chat.CreateChatCompletion):
    model: Any = None


class EngineCompletion(completions.CreateCompletion):
    model: Any = None


class EngineEmbedding(embeddings.CreateEmbedding):
    model: Any = None


@router.get("")
def show_list(here: Here) -> dict[str, Any]:
    return {"object": "list", "data": [_show(model) for model in here.catalog.list()]}


@router.get("/{engine:path}")
def show(here: Here, engine: str) -> dict[str, Any]:
    return _show(here.catalog.show(engine))


@router.post("/{engine:path}/chat/completions")
async def chat_with(here: Here, request: Request, engine: str, body: EngineChat) -> Response:
    body.model = engine
    return await chat.create(request, here, body)


@router.post("/{engine:path}/completions")
async def complete_with(
    here: Here, request: Request, engine: str, body: EngineCompletion
) -> Response:
    body.model = engine
    return await completions.create(request, here, body)


@router.post("/{engine:path}/embeddings")
async def embed_with(here: Here, engine: str, body: EngineEmbedding) -> dict[str, Any]:
    body.model = engine
    return await embeddings.create(here, body)


def _show(model: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": model["id"],
        "object": "engine",
        "owner": model["owned_by"],
        "ready": True,
    }
