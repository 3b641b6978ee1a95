"""What training takes here is reckoned with what it has taken here, where it has been done."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from app.settings import Settings
from finetune.prepare.prices import ModelPrice
from finetune.speed import read_speed
from store import Database

MOST_S = 3.0
"""For the database: who prepares data is not to wait for one that is away."""


async def measured(settings: Settings, prices: Sequence[ModelPrice]) -> list[ModelPrice]:
    """The price table, with the speed of the last run in the place of the one that it assumes.

    A preparation needs no database: where there is none, one of another version, or one that does
    not answer soon, the table stays as it is.
    """
    database = Database(settings.store_url)
    try:
        if database.is_sqlite and not Path(database.url.database or "").is_file():
            return list(prices)
        async with asyncio.timeout(MOST_S):
            return [await _measured(database, price) for price in prices]
    except (SQLAlchemyError, OSError):
        return list(prices)
    finally:
        await database.close()


async def _measured(database: Database, price: ModelPrice) -> ModelPrice:
    if price.tokens_per_second is None:
        return price
    async with database.read() as session:
        speed = await read_speed(session, price.name)
    if speed is None:
        return price
    return replace(price, tokens_per_second=speed.tokens_per_second, measured_in_run=speed.run_id)
