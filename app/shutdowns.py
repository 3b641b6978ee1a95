"""Shutdowns: providers say in the list of models when one goes dark; the operators hear it once."""

from collections.abc import Iterable
from datetime import UTC, datetime

import openai
import structlog
from sqlalchemy import select

from app.options import make_recipients
from app.settings import Settings
from finetune.announce import announce
from store import Database, ModelVersion, Stage

log = structlog.get_logger(__name__)


async def warn_of_shutdowns(
    database: Database, settings: Settings, clients: Iterable[openai.AsyncOpenAI]
) -> dict[str, str]:
    """Announce every model in use that has a date; the dates by model."""
    dates: dict[str, str] = {}
    in_use = await _models_in_use(database, settings)
    for client in {(str(each.base_url), each.api_key): each for each in clients}.values():
        dates |= {key: date for key, date in (await _dates(client)).items() if key in in_use}
    for model, date in sorted(dates.items()):
        log.warning("model_goes_dark", model=model, shutdown_date=date)
        async with database.write() as session:
            await announce(
                session,
                make_recipients(settings),
                key=f"model.dark.{model}.{date}"[-128:],
                subject=f"{model} goes dark on {date}",
                text=(
                    f"The provider shuts {model} down on {date}. {in_use[model]} Until then set "
                    f"another one, or train on your own machine: nod doctor shows what is set."
                ),
                data={"type": "model.dark", "model": model, "shutdown_date": date},
            )
    return dates


async def _dates(client: openai.AsyncOpenAI) -> dict[str, str]:
    try:
        models = [model async for model in client.models.list()]
    except openai.OpenAIError as error:
        log.warning("models_not_listed", error=str(error))
        return {}
    dates = ((model.id, getattr(model, "shutdown_date", None)) for model in models)
    return {key: _as_day(date) for key, date in dates if date}


def _as_day(date: object) -> str:
    """Told as a day, or in seconds since 1970."""
    if isinstance(date, int | float):
        return f"{datetime.fromtimestamp(date, UTC):%Y-%m-%d}"
    return str(date)[:10]


async def _models_in_use(database: Database, settings: Settings) -> dict[str, str]:
    """What each is for; a version that could be rolled back to is in use too."""
    in_use = {
        settings.embedding_model: "It embeds what Nod looks up (NOD_EMBEDDING_MODEL).",
        **dict.fromkeys(settings.base_models, "It is a base model (NOD_BASE_MODEL)."),
    }
    if settings.judge_model:
        in_use[settings.judge_model] = "It judges candidates (NOD_JUDGE_MODEL)."
    async with database.read() as session:
        versions = await session.scalars(
            select(ModelVersion).where(
                ModelVersion.stage.in_((Stage.live, Stage.canary))
                | ModelVersion.promoted_at.is_not(None)
            )
        )
        for version in versions:
            in_use[version.model] = f"It is model version {version.id} ({version.stage})."
    return in_use
