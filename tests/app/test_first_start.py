"""The first start, where the roles of one Nod begin together as processes of their own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select

from app.sample_shop import KEY, LOADED, begin_sample_shop
from app.users import ensure_owner
from bot.masks import ensure_default
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
