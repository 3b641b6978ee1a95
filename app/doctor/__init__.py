"""The doctor's checks: each looks at one thing and says, where it is ill, how to mend it.

Nothing that runs is disturbed: beside a running Nod, its own model server is asked.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable

from app.doctor.announcing import check_email, check_webhook
from app.doctor.endpoints import check_telegram, examine_models
from app.doctor.finding import Finding, State, ill
from app.doctor.machine import (
    check_disk,
    check_folder,
    check_local_packages,
    check_names,
    check_port,
)
from app.doctor.rows import check_chroma, check_database, check_switches
from app.home import read_holder
from app.settings import Settings

__all__ = ["Finding", "State", "examine"]

CHECK_TIMEOUT_S = 60.0


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Every finding, as it is made."""
    holder = await asyncio.to_thread(read_holder, settings.home)
    yield check_names()
    yield check_folder(settings)
    yield check_disk(settings)
    yield await _checked("port", check_port(settings, holder))
    yield await _checked("database", check_database(settings))
    yield await _checked("switches", check_switches(settings))
    yield await _checked("Chroma", check_chroma(settings, holder))
    if settings.runs_model_server:
        yield check_local_packages(settings)
    async for finding in examine_models(settings, holder):
        yield finding
    yield await _checked("Telegram", check_telegram(settings))
    yield await _checked("e-mail", check_email(settings))
    yield await _checked("webhook", check_webhook(settings))


async def _checked(what: str, check: Awaitable[Finding]) -> Finding:
    """A check that may fail in ways nobody thought of."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check
    except Exception as error:
        said = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        return ill(what, said, "see the message; nod --debug doctor shows more")
