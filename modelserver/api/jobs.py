"""/v1/fine_tuning/jobs"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field, StringConstraints

from modelserver.api.rooms import Here, Rooms
from modelserver.api.strict import Body, StrictRoute
from modelserver.errors import BadRequestError, NotFoundError
from modelserver.jobs import NewJob
from modelserver.validate import MIN_EXAMPLES, TrainingFileError, count_examples

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["fine-tuning"], route_class=StrictRoute)

Auto = Literal["auto"]
Limit = Annotated[int, Query(ge=0, le=10_000)]


class Hyperparameters(Body):
    """Limits are those of OpenAI's spec."""

    n_epochs: Auto | Annotated[int, Field(ge=1, le=50, strict=True)] = "auto"
    batch_size: Auto | Annotated[int, Field(ge=1, le=256, strict=True)] = "auto"
    learning_rate_multiplier: Auto | Annotated[float, Field(gt=0, le=1000, strict=True)] = "auto"


class DpoHyperparameters(Hyperparameters):
    beta: Auto | Annotated[float, Field(gt=0, le=2, strict=True)] = "auto"


class Supervised(Body):
    hyperparameters: Hyperparameters = Hyperparameters()


class Dpo(Body):
    hyperparameters: DpoHyperparameters = DpoHyperparameters()


class Method(Body):
    """Only the block that `type` names counts; clients send the others too."""

    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: Supervised | None = None
    dpo: Dpo | None = None


Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(max_length=64)],
        Annotated[str, StringConstraints(max_length=512)],
    ],
    Field(max_length=16),
]


class CreateJob(Body):
    model: str
    training_file: str
    validation_file: str | None = None
    method: Method | None = None
    hyperparameters: Hyperparameters | None = None
    suffix: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    metadata: Metadata | None = None
    integrations: list[Any] | None = None


@router.post("")
def create(here: Here, body: CreateJob) -> dict[str, Any]:
    method, hyperparameters = _choose_method(body)
    new = NewJob(
        base=find_base(here, body.model),
        method=method,
        hyperparameters=hyperparameters.model_dump(),
        training_file=check_file(here, body.training_file, "training_file", MIN_EXAMPLES),
        validation_file=check_file(here, body.validation_file, "validation_file", 1)
        if body.validation_file
        else None,
        suffix=tidy_suffix(body.suffix or ""),
        seed=body.seed,
        metadata=body.metadata,
    )
    job = here.jobs.create(new)
    here.supervisor.wake()
    return job


@router.get("")
def show_list(
    request: Request, here: Here, limit: Limit = 20, after: str | None = None
) -> dict[str, Any]:
    metadata = _read_metadata(request.query_params)
    return here.jobs.list(limit=limit, after=after, metadata=metadata)


@router.get("/{job_id}")
def show(here: Here, job_id: str) -> dict[str, Any]:
    return here.jobs.show(job_id)


@router.get("/{job_id}/events")
def show_events(
    here: Here, job_id: str, limit: Limit = 20, after: str | None = None
) -> dict[str, Any]:
    return here.jobs.list_events(job_id, limit=limit, after=after)


@router.get("/{job_id}/checkpoints")
def show_checkpoints(
    here: Here, job_id: str, limit: Limit = 10, after: str | None = None
) -> dict[str, Any]:
    return here.jobs.list_checkpoints(job_id, limit=limit, after=after)


@router.post("/{job_id}/cancel")
def cancel(here: Here, job_id: str) -> dict[str, Any]:
    return here.jobs.cancel(job_id)


@router.post("/{job_id}/pause")
def pause(here: Here, job_id: str) -> dict[str, Any]:
    return here.jobs.pause(job_id)


@router.post("/{job_id}/resume")
def resume(here: Here, job_id: str) -> dict[str, Any]:
    job = here.jobs.resume(job_id)
    here.supervisor.wake()
    return job


def _choose_method(body: CreateJob) -> tuple[str, Hyperparameters]:
    if body.integrations:
        raise BadRequestError(
            "integrations: this server reports to nobody else; leave the key out and read the "
            "job's events instead.",
            param="integrations",
            code="unsupported_integration",
        )
    if body.method is None:
        return "supervised", body.hyperparameters or Hyperparameters()
    if body.method.type == "reinforcement":
        raise BadRequestError(
            "method.type: 'reinforcement' is not supported here; use 'supervised' or 'dpo'.",
            param="method.type",
            code="unsupported_method",
        )
    if body.method.type == "dpo":
        return "dpo", (body.method.dpo or Dpo()).hyperparameters
    chosen = body.method.supervised
    return (
        "supervised",
        chosen.hyperparameters if chosen else body.hyperparameters or Hyperparameters(),
    )


def find_base(here: Rooms, asked: str) -> str:
    """The base model that is to be trained. Raises BadRequestError, ModelNotFoundError."""
    if here.catalog.name_of(asked).startswith("ft:"):
        raise BadRequestError(
            f"model: {asked} is tuned already; train its base model on the old and new examples.",
            param="model",
            code="model_not_available",
        )
    return here.catalog.find_base(asked)


def check_file(here: Rooms, file_id: str, param: str, at_least: int) -> str:
    """Returns the id of a file that looks like examples. Raises BadRequestError."""
    try:
        row = here.files.row(file_id)
    except NotFoundError as error:
        raise BadRequestError(
            f"{param}: no such file: {file_id!a}. Upload it with purpose 'fine-tune' first.",
            param=param,
            code="file_not_found",
        ) from error
    if row["purpose"] != "fine-tune":
        raise BadRequestError(
            f"{param}: {file_id} has purpose {row['purpose']!r}; upload it with 'fine-tune'.",
            param=param,
            code="invalid_file_purpose",
        )
    _check_count(here, file_id, param, at_least)
    return file_id


def _check_count(here: Rooms, file_id: str, param: str, at_least: int) -> None:
    try:
        count = count_examples(here.files.path(file_id), at_least)
    except TrainingFileError as error:
        raise BadRequestError(f"{param} {file_id}: {error}", param=param) from error
    if count < at_least:
        raise BadRequestError(
            f"{param} {file_id} has {count} example(s), but must have at least {at_least}: "
            "add more lines and upload it again.",
            param=param,
            code="invalid_n_examples",
        )


def tidy_suffix(suffix: str) -> str:
    """Letters, digits and dashes, as OpenAI keeps them in a model's name."""
    return re.sub(r"[\W_]+", "-", suffix.lower()).strip("-")


def _read_metadata(query: Mapping[str, str]) -> dict[str, str] | None:
    """`metadata[k]=v` in a query; `metadata=null` asks for jobs without any."""
    if query.get("metadata") == "null":
        return {}
    found = {
        key.removeprefix("metadata[").removesuffix("]"): value
        for key, value in query.items()
        if key.startswith("metadata[") and key.endswith("]")
    }
    if len(found) > 16:
        raise BadRequestError("metadata: no more than 16 keys can be asked for", param="metadata")
    return found or None
