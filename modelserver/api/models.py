"""/v1/models"""

from typing import Any

from fastapi import APIRouter

from modelserver.api.rooms import Here

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("")
def show_list(here: Here) -> dict[str, Any]:
    return {"object": "list", "data": here.catalog.list()}


@router.get("/{model:path}")
def show(here: Here, model: str) -> dict[str, Any]:
    return here.catalog.show(model)


@router.delete("/{model:path}")
def delete(here: Here, model: str) -> dict[str, Any]:
    deleted = here.catalog.delete(model)
    here.engine.unload(deleted)
    return {"id": deleted.name, "object": "model", "deleted": True}
