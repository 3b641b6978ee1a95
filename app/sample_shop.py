"""Loads the sample shop at the first start; killed anywhere, the next start goes on."""

from contextlib import suppress

import structlog
from sqlalchemy import exists, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.lease import Duty
from app.nod import Nod
from app.pairs import import_pairs, read_pairs
from app.sample import DOCUMENTS, PAIRS
from bot.claim import LEASE_S, make_owner
from store import Conversation, Database, Document, DocumentKind, Setting

CHANNEL = "sample"
KEY = "sample_shop"
LOADING, LOADED = "loading", "loaded"

log = structlog.get_logger(__name__)


async def begin_sample_shop(database: Database) -> None:
    """Note that it is to be loaded, where the store is empty at the first start."""
    with suppress(IntegrityError):  # another process has noted it meanwhile
        async with database.write() as session:
            if await session.get(Setting, KEY) is not None or await _is_used(session):
                return
            session.add(Setting(key=KEY, value=LOADING, updated_by="nod"))


async def load_sample_shop(nod: Nod) -> bool:
    """Load it, where that was begun and not ended; whether it was.

    Of several workers one does, and where it fails or is killed, the next round of any.
    """
    if not await _is_loading(nod.database):
        return False
    duty = Duty(nod.database, KEY, make_owner(), lease_s=LEASE_S)
    if not await duty.take():
        return False
    try:
        return await _is_loading(nod.database) and await _load(nod)
    finally:
        await duty.give_back()


async def _is_loading(database: Database) -> bool:
    async with database.read() as session:
        state = await session.get(Setting, KEY)
    return state is not None and state.value == LOADING


async def _load(nod: Nod) -> bool:
    pairs = await import_pairs(
        nod.database, read_pairs(PAIRS), channel=CHANNEL, source="the sample shop"
    )
    report = await nod.knowledge.ingest([DOCUMENTS])
    async with nod.database.write() as session:
        (await session.get_one(Setting, KEY)).value = LOADED
    log.info("sample_shop_loaded", documents=len(report.added), pairs=pairs)
    return True


async def _is_used(session: AsyncSession) -> bool:
    used = exists().where(Document.kind == DocumentKind.file)
    return bool(await session.scalar(select(or_(exists(select(Conversation.id)), used))))
