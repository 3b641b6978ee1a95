"""What answers elsewhere, under the doctor's eyes: models, trainer, judge, Telegram."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx2
from openai import AsyncOpenAI, NotFoundError, OpenAIError

from app.clients import Clients, open_clients
from app.doctor.finding import Finding, ill, odd, well
from app.home import Holder, HomeError, prepare_home, refuse_stranger
from app.model_server import ModelServer, ModelServerError
from app.settings import Settings

ANSWER_TIMEOUT_S = 60.0
TRAINER_TIMEOUT_S = 10.0
TELEGRAM_TIMEOUT_S = 10.0


async def examine_models(settings: Settings, holder: Holder | None) -> AsyncIterator[Finding]:
    """The endpoints, ours or others'; our own server is started for this, where none runs."""
    async with AsyncExitStack() as stack:
        if settings.runs_model_server:
            if holder is not None and holder.model_base_url:
                settings = settings.model_copy(update={"model_base_url": holder.model_base_url})
                server = None
            else:
                try:
                    prepare_home(settings.home)
                    refuse_stranger(settings.home)
                except HomeError:
                    yield ill("model endpoint", "not looked at", "mend the data folder first")
                    return
                server = ModelServer(settings)
                task = asyncio.create_task(server.run())
                stack.push_async_callback(_cancel, task)
                try:
                    await server.wait_until_ready(ANSWER_TIMEOUT_S)
                except ModelServerError as error:
                    yield ill("model endpoint", str(error), f"read {settings.home}/modelserver.log")
                    return
        else:
            server = None
        clients = await stack.enter_async_context(open_clients(settings, server))
        yield await check_models(settings, clients.models)
        yield await check_completion(settings, clients.models)
        yield await check_embeddings(settings, clients)
        if settings.trainer_base_url or settings.trainer_api_key:
            yield await check_trainer(clients.trainer)
        if settings.judge_model or settings.judge_base_url:
            yield await check_judge(settings, clients.judge)


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])


async def check_models(settings: Settings, client: AsyncOpenAI) -> Finding:
    what = "model endpoint"
    try:
        known = {model.id: model async for model in _patient(client).models.list()}
    except OpenAIError as error:
        mend = "correct NOD_MODEL_BASE_URL and NOD_MODEL_API_KEY, or start that endpoint"
        return ill(what, f"{client.base_url}: {_said(error)}", mend)
    if settings.base_model not in known:
        some = ", ".join(sorted(known)[:5]) or "no model"
        return ill(what, f"no {settings.base_model!r} there; it has {some}", "set NOD_BASE_MODEL")
    shutdown = getattr(known[settings.base_model], "shutdown_date", None)
    if shutdown:
        return odd(what, f"{settings.base_model} goes dark: {shutdown}", "set NOD_BASE_MODEL")
    return well(what, f"{client.base_url} has {settings.base_model}")


async def check_completion(settings: Settings, client: AsyncOpenAI) -> Finding:
    what = "an answer"
    try:
        completion = await _patient(client).chat.completions.create(
            model=settings.base_model,
            messages=[{"role": "user", "content": "Say yes."}],
            max_tokens=5,
        )
    except OpenAIError as error:
        return ill(what, _said(error), "correct NOD_BASE_MODEL; see the endpoint's own log")
    used = completion.usage.total_tokens if completion.usage else "?"
    return well(what, f"{settings.base_model} answers ({used} tokens)")


async def check_embeddings(settings: Settings, clients: Clients) -> Finding:
    what = "embeddings"
    try:
        response = await _patient(clients.embeddings).embeddings.create(
            model=settings.embedding_model, input=["query: one", "query: two"]
        )
    except OpenAIError as error:
        mend = "correct NOD_EMBEDDING_MODEL and NOD_EMBEDDING_BASE_URL"
        return ill(what, _said(error), mend)
    size = len(response.data[0].embedding)
    return well(what, f"{settings.embedding_model} gives {size} dimensions")


async def check_trainer(client: AsyncOpenAI) -> Finding:
    """Whether the endpoint that trains knows fine-tuning jobs, and us."""
    what = "trainer"
    try:
        await client.with_options(timeout=TRAINER_TIMEOUT_S, max_retries=1).fine_tuning.jobs.list(
            limit=1
        )
    except NotFoundError:
        mend = "set NOD_TRAINER_BASE_URL to one that has /fine_tuning/jobs"
        return ill(what, f"{client.base_url} trains nothing", mend)
    except OpenAIError as error:
        mend = "correct NOD_TRAINER_BASE_URL and NOD_TRAINER_API_KEY, or start that endpoint"
        return ill(what, f"{client.base_url}: {_said(error)}", mend)
    return well(what, f"{client.base_url} takes jobs")


async def check_judge(settings: Settings, client: AsyncOpenAI) -> Finding:
    what = "judge"
    if not settings.judge_model:
        said = "NOD_JUDGE_BASE_URL is set, and no model: nobody judges"
        return odd(what, said, "set NOD_JUDGE_MODEL, or unset NOD_JUDGE_BASE_URL")
    try:
        await _patient(client).chat.completions.create(
            model=settings.judge_model,
            messages=[{"role": "user", "content": "Say yes."}],  # as the judge is asked: no limit
        )
    except OpenAIError as error:
        mend = "correct NOD_JUDGE_MODEL, NOD_JUDGE_BASE_URL and NOD_JUDGE_API_KEY"
        return ill(what, f"{client.base_url}: {_said(error)}", mend)
    return well(what, f"{settings.judge_model} answers at {client.base_url}")


async def check_telegram(settings: Settings) -> Finding:
    what = "Telegram"
    if settings.telegram_token is None:
        return well(what, "off")
    token = settings.telegram_token.get_secret_value()
    url = f"{settings.telegram_base_url.rstrip('/')}/bot{token}/getMe"
    try:
        async with httpx2.AsyncClient(timeout=TELEGRAM_TIMEOUT_S) as client:
            response = await client.get(url)
        answer = response.json()
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        said = f"{settings.telegram_base_url} does not answer: {type(error).__name__}"
        return ill(what, said, "check the network and NOD_TELEGRAM_BASE_URL")
    if response.status_code in (401, 404):
        return ill(what, "the token is not valid", "set NOD_TELEGRAM_TOKEN as @BotFather gives it")
    if not answer.get("ok"):
        return ill(what, str(answer.get("description", "no reason given")), "try again later")
    return well(what, f"@{answer['result'].get('username')}")


def _patient(client: AsyncOpenAI) -> AsyncOpenAI:
    return client.with_options(timeout=ANSWER_TIMEOUT_S, max_retries=1)


def _said(error: OpenAIError) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"
