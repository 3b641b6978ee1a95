"""/v1/fine-tunes: the API of 2023, and of `openai api fine_tunes.*` of that time.

A job made here is a job like any other: /v1/fine_tuning/jobs shows it too, under today's id.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from pydantic import Field, StringConstraints

from modelserver.api.jobs import check_file, find_base, tidy_suffix
from modelserver.api.rooms import Here, Rooms
from modelserver.api.strict import Body, StrictRoute
from modelserver.errors import BadRequestError
from modelserver.jobs import NewJob

router = APIRouter(prefix="/v1/fine-tunes", tags=["2023"], route_class=StrictRoute)

_LOOK_S = 0.3  # how often a follower looks for events
_SILENT_S = 15.0  # a comment is sent then, as clients and proxies give up on silence


class CreateFineTune(Body):
    """Keys and defaults are those of 2023."""

    training_file: str
    validation_file: str | None = None
    model: str = "curie"
    n_epochs: Annotated[int, Field(ge=1, le=50, strict=True)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=256, strict=True)] | None = None
    learning_rate_multiplier: Annotated[float, Field(gt=0, le=1000, strict=True)] | None = None
    prompt_loss_weight: Annotated[float, Field(ge=0, strict=True)] | None = None
    compute_classification_metrics: bool = False
    classification_n_classes: Annotated[int, Field(ge=2, le=1000, strict=True)] | None = None
    classification_positive_class: Annotated[str, StringConstraints(min_length=1)] | None = None
    classification_betas: (
        Annotated[list[Annotated[float, Field(gt=0, le=100)]], Field(max_length=16)] | None
    ) = None
    suffix: Annotated[str, StringConstraints(max_length=40)] | None = None

    def hyperparameters(self) -> dict[str, int | float | str]:
        keys = ("n_epochs", "batch_size", "learning_rate_multiplier")
        return {key: "auto" if (value := getattr(self, key)) is None else value for key in keys}

    def classification(self) -> dict[str, Any]:
        """What was asked for, as `hyperparams` shows it; empty without it."""
        if not self.compute_classification_metrics:
            return {}
        self._check_classification()
        kept = {key for key in type(self).model_fields if "classification" in key}
        return self.model_dump(include=kept, exclude_none=True)

    def _check_classification(self) -> None:
        if self.validation_file is None:
            raise BadRequestError(
                "compute_classification_metrics: they are measured on a validation file: give one "
                "as validation_file (-v).",
                param="validation_file",
            )
        is_binary = self.classification_positive_class is not None
        if not is_binary and self.classification_n_classes is None:
            raise BadRequestError(
                "compute_classification_metrics: give classification_n_classes, or for two "
                "classes classification_positive_class.",
                param="classification_n_classes",
            )
        if is_binary and self.classification_n_classes not in (None, 2):
            raise BadRequestError(
                "classification_positive_class: only one of two classes can be the positive one; "
                "leave it out, or set classification_n_classes to 2.",
                param="classification_positive_class",
            )

    def warnings(self) -> list[str]:
        if not self.prompt_loss_weight:
            return []
        return [
            f"prompt_loss_weight {self.prompt_loss_weight:g} is not used: only the completions "
            "are trained on"
        ]


@router.post("")
def create(here: Here, body: CreateFineTune) -> dict[str, Any]:
    validation = body.validation_file
    new = NewJob(
        base=find_base(here, body.model),
        method="supervised",
        hyperparameters=body.hyperparameters(),
        training_file=check_file(here, body.training_file, "training_file", 1),
        validation_file=check_file(here, validation, "validation_file", 1) if validation else None,
        suffix=tidy_suffix(body.suffix or ""),
        fine_tune=body.classification(),
        warnings=body.warnings(),
    )
    job = here.jobs.create(new)
    here.supervisor.wake()
    return here.fine_tunes.show(job["id"])


@router.get("")
def show_list(here: Here) -> dict[str, Any]:
    return here.fine_tunes.show_all()


@router.get("/{fine_tune_id}")
def show(here: Here, fine_tune_id: str) -> dict[str, Any]:
    return here.fine_tunes.show(fine_tune_id)


@router.post("/{fine_tune_id}/cancel")
def cancel(here: Here, fine_tune_id: str) -> dict[str, Any]:
    here.jobs.cancel(here.fine_tunes.row(fine_tune_id)["id"])
    return here.fine_tunes.show(fine_tune_id)


@router.delete("/{fine_tune_id}")
def delete(here: Here, fine_tune_id: str) -> dict[str, Any]:
    """Forgets a job that has ended. Its model stays: that is deleted as a model."""
    row = here.fine_tunes.row(fine_tune_id)
    here.fine_tunes.check_ended(row)
    for name in here.catalog.checkpoints(row["id"]):
        here.engine.unload(here.catalog.delete(name))
    here.fine_tunes.delete(row["id"])
    return {"id": fine_tune_id, "object": "fine-tune", "deleted": True}


@router.get("/{fine_tune_id}/events", response_model=None)
async def show_events(
    here: Here, fine_tune_id: str, stream: bool = False
) -> dict[str, Any] | Response:
    """All so far; or `stream`ed from the first one on until the job has ended."""
    if not stream:
        return await asyncio.to_thread(here.fine_tunes.list_events, fine_tune_id)
    row = await asyncio.to_thread(here.fine_tunes.row, fine_tune_id)
    return StreamingResponse(_follow(here, row["id"]), media_type="text/event-stream")


async def _follow(here: Rooms, job_id: str) -> AsyncIterator[str]:
    place, silent_s = 0, 0.0
    while True:
        news = await asyncio.to_thread(here.fine_tunes.news, job_id, place)
        for event in news.events:
            yield f"data: {json.dumps(event, ensure_ascii=False)}\n\n"
        if news.is_last:
            yield "data: [DONE]\n\n"
            return
        if news.events:
            place, silent_s = news.place, 0.0
        elif silent_s >= _SILENT_S:
            yield ": still here\n\n"
            silent_s = 0.0
        await asyncio.sleep(_LOOK_S)
        silent_s += _LOOK_S
