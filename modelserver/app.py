"""The application: rooms from settings, and the API on top of them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI

from modelserver.api import (
    chat,
    completions,
    embeddings,
    engines,
    files,
    fine_tunes,
    jobs,
    models,
    responses,
)
from modelserver.api.errors import handle_errors
from modelserver.api.guard import Guard
from modelserver.api.rooms import Rooms
from modelserver.catalog import Catalog, Model
from modelserver.database import Database
from modelserver.embedding import MODEL, E5Embedding, Embedding, StubEmbedding
from modelserver.engine import Engine
from modelserver.errors import ApiError
from modelserver.files import Files
from modelserver.fine_tunes import FineTunes
from modelserver.generation import Generations
from modelserver.jobs import Jobs
from modelserver.keys import Keys
from modelserver.rate import RateLimit
from modelserver.supervisor import Supervisor
from modelserver.trainer import TrainingSettings
from modelserver.webhooks import Webhooks

log = logging.getLogger(__name__)

_BODY_BYTES = 16 << 20  # of a request that is no upload
_WARM = 4  # tuned models that are loaded at the start


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the command line says."""

    data_dir: Path
    bases: Sequence[str]
    engine: str = "llama"
    aliases: Mapping[str, str] = field(default_factory=dict)
    api_keys: Sequence[str] = field(default=(), repr=False)
    is_private: bool = True  # only this machine can reach it
    requests_per_minute: int = 0  # of each key; 0 is no limit
    webhook_url: str | None = None
    webhook_secret: str = field(default="", repr=False)
    slots: int = 4
    queue: int = 64
    context: int = 4096
    max_file_mb: int = 512
    stub_delay_s: float = 0
    training: TrainingSettings = field(default_factory=TrainingSettings)


class MissingKeyError(ValueError):
    """The server would be open to everybody."""


def make_app(settings: Settings) -> FastAPI:
    """Raises what its rooms raise where they can't be furnished, with the way out."""
    data_dir = settings.data_dir.resolve()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database(data_dir / "modelserver.sqlite3")
    keys = _read_keys(settings, database)
    rooms = _furnish(settings, database, data_dir)
    webhooks = _choose_webhooks(settings, database)

    @asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        rooms.supervisor.start()
        if webhooks:
            webhooks.start()
        warming = asyncio.create_task(asyncio.to_thread(_warm, rooms))
        yield
        await warming
        rooms.supervisor.stop()
        if webhooks:
            webhooks.stop()
        rooms.generations.close()
        rooms.engine.close()
        database.close()

    # No redirects: a name that ends in a slash is a name, and there is no such thing.
    app = FastAPI(title="modelserver", version="1", lifespan=live, redirect_slashes=False)
    app.state.rooms = rooms
    app.state.max_file_bytes = settings.max_file_mb << 20
    handle_errors(app)
    for room in (
        chat,
        completions,
        responses,
        embeddings,
        files,
        jobs,
        models,
        fine_tunes,
        engines,
    ):
        app.include_router(room.router)
    app.add_api_route("/health", _show_health)
    app.add_middleware(
        Guard,
        keys=keys,
        is_private=settings.is_private,
        rate=RateLimit(settings.requests_per_minute) if settings.requests_per_minute else None,
        max_bytes=_BODY_BYTES,
        max_file_bytes=app.state.max_file_bytes,
    )
    return app


def _read_keys(settings: Settings, database: Database) -> Keys:
    keys = Keys(database, settings.api_keys)
    if not settings.is_private and not keys.are_needed:
        raise MissingKeyError(
            "others can reach this address, and there is no key: make one with `python -m "
            f"modelserver keys add NAME --data {settings.data_dir}`, give --api-key KEY, or "
            "listen on 127.0.0.1"
        )
    return keys


def _choose_webhooks(settings: Settings, database: Database) -> Webhooks | None:
    if settings.webhook_url is None:
        return None
    return Webhooks(database, url=settings.webhook_url, secret=settings.webhook_secret)


def _furnish(settings: Settings, database: Database, data_dir: Path) -> Rooms:
    engine, embedding = _choose_engine(settings, data_dir)
    catalog = Catalog(
        database,
        data_dir,
        bases=engine.bases,
        embedding=MODEL,
        aliases=settings.aliases,
    )
    stored = Files(database, data_dir / "files")
    return Rooms(
        files=stored,
        jobs=Jobs(database),
        fine_tunes=FineTunes(database),
        supervisor=Supervisor(database, stored, engine, data_dir, settings.training),
        catalog=catalog,
        engine=engine,
        generations=Generations(engine, slots=settings.slots, queue=settings.queue),
        embedding=embedding,
    )


def _choose_engine(settings: Settings, data_dir: Path) -> tuple[Engine, Embedding]:
    if settings.engine == "stub":
        from modelserver.engine.stub import StubEngine

        return StubEngine(settings.bases, delay_s=settings.stub_delay_s), StubEmbedding()
    from modelserver.engine.llama import LlamaEngine

    engine = LlamaEngine(settings.bases, data_dir, slots=settings.slots, context=settings.context)
    return engine, E5Embedding()


def _warm(rooms: Rooms) -> None:
    """Loads what is most likely asked for first: the first base model and its newest tunes."""
    base = rooms.engine.bases[0]
    try:
        rooms.engine.load([Model(name=base, base=base), *rooms.catalog.newest(base, _WARM)])
    except ApiError:
        log.exception("the model %s can't be loaded ahead", base)


async def _show_health() -> dict[str, str]:
    return {"status": "ok"}
