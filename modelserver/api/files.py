"""/v1/files"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request, UploadFile
from fastapi.responses import FileResponse

from modelserver.api.rooms import Here
from modelserver.errors import BadRequestError
from modelserver.files import PURPOSES

router = APIRouter(prefix="/v1/files", tags=["files"])

_MAX_NAME = 255


@router.post("")
def create(
    request: Request,
    here: Here,
    file: UploadFile,
    purpose: Annotated[str, Form()],
    anchor: Annotated[  # noqa: ARG001 (its only value is the default)
        Literal["created_at"], Form(alias="expires_after[anchor]")
    ] = "created_at",
    seconds: Annotated[
        int | None, Form(alias="expires_after[seconds]", ge=3600, le=2_592_000)
    ] = None,
) -> dict[str, Any]:
    """The body is on disk already when this runs, in a thread: it copies the bytes into place."""
    if purpose not in PURPOSES:
        raise BadRequestError(
            f"purpose: {purpose[:40]!a} is not one of {', '.join(PURPOSES)}", param="purpose"
        )
    limit: int = request.app.state.max_file_bytes
    if file.size is not None and file.size > limit:
        raise BadRequestError(
            f"The file is larger than {limit >> 20} MB: split it, or start the server with a "
            "larger --max-file-mb.",
            param="file",
            code="file_too_large",
        )
    name = (file.filename or "upload").encode(errors="replace").decode()
    return here.files.add(
        file.file, filename=name[-_MAX_NAME:], purpose=purpose, expires_after_s=seconds
    )


@router.get("")
def show_list(
    here: Here,
    purpose: str | None = None,
    limit: Annotated[int, Query(ge=0, le=10_000)] = 10_000,
    order: Literal["asc", "desc"] = "desc",
    after: str | None = None,
) -> dict[str, Any]:
    return here.files.list(purpose=purpose, limit=limit, after=after, order=order)


@router.get("/{file_id}")
def show(here: Here, file_id: str) -> dict[str, Any]:
    return here.files.show(file_id)


@router.get("/{file_id}/content", response_class=FileResponse)
def show_content(here: Here, file_id: str) -> FileResponse:
    here.files.row(file_id)
    return FileResponse(here.files.path(file_id), media_type="application/octet-stream")


@router.delete("/{file_id}")
def delete(here: Here, file_id: str) -> dict[str, Any]:
    return here.files.delete(file_id)
