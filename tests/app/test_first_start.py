"""The first start, where the roles of one Nod begin together as processes of their own."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select

from app.sample_shop import KEY, LOADED, begin_sample_shop, load_sample_shop
from app.users import ensure_owner
from bot.masks import ensure_default
from knowledge.ingest import IngestReport
from store import Database, Mask, Setting, User

ROLES = 6
_T = TypeVar("_T")


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.users._hasher", PasswordHasher(time_cost=1, memory_cost=64))


async def test_roles_that_start_together_make_one_owner_and_one_tells_the_password(
    any_database: Database,
) -> None:
    passwords = await _together(lambda: ensure_owner(any_database))
    assert len([password for password in passwords if password]) == 1
    assert await _count(any_database, User) == 1


async def test_roles_that_start_together_make_one_default_mask(any_database: Database) -> None:
    masks = await _together(lambda: ensure_default(any_database))
    assert len({mask.id for mask in masks}) == 1
    assert await _count(any_database, Mask) == 1


async def test_roles_that_start_together_begin_the_sample_shop_once(
    any_database: Database,
) -> None:
    await _together(lambda: begin_sample_shop(any_database))
    async with any_database.write() as session:
        (await session.get_one(Setting, KEY)).value = LOADED
    await _together(lambda: begin_sample_shop(any_database))
    async with any_database.read() as session:
        assert (await session.get_one(Setting, KEY)).value == LOADED


async def _together(begin: Callable[[], Awaitable[_T]]) -> list[_T]:
    return await asyncio.gather(*(begin() for _ in range(ROLES)))


async def _count(database: Database, kind: type[User] | type[Mask]) -> int:
    async with database.read() as session:
        return await session.scalar(select(func.count()).select_from(kind)) or 0


async def test_workers_that_start_together_load_the_sample_shop_once(
    any_database: Database,
) -> None:
    await begin_sample_shop(any_database)
    shelf = _Shelf()
    nod: Any = SimpleNamespace(database=any_database, knowledge=shelf)
    assert sorted(await _together(lambda: load_sample_shop(nod))) == [False] * (ROLES - 1) + [True]
    assert shelf.ingested == 1


async def test_a_sample_shop_whose_loading_failed_is_loaded_by_the_next_round(
    database: Database,
) -> None:
    await begin_sample_shop(database)
    shelf = _Shelf(fails=True)
    nod: Any = SimpleNamespace(database=database, knowledge=shelf)
    with pytest.raises(OSError, match="away"):
        await load_sample_shop(nod)
    shelf.fails = False
    assert await load_sample_shop(nod)


@dataclass
class _Shelf:
    """Counts what would be read into it."""

    fails: bool = False
    ingested: int = 0

    async def ingest(self, _paths: object) -> IngestReport:
        await asyncio.sleep(0.2)  # as reading and embedding do
        if self.fails:
            raise OSError("away")
        self.ingested += 1
        return IngestReport()
