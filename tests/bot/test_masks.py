"""Masks: one is the default, and each is checked."""

import pytest

from bot.masks import (
    MaskError,
    edit_mask,
    ensure_default,
    list_masks,
    read_default,
    set_default,
)
from bot.prompt import SYSTEM_PROMPT
from store import Database


async def test_the_first_start_makes_a_default_and_later_ones_keep_it(database: Database) -> None:
    first = await ensure_default(database)
    async with database.write() as session:
        await edit_mask(session, first.name, who="olga", system_prompt="Be brief.")
    second = await ensure_default(database)
    assert (second.id, second.system_prompt) == (first.id, "Be brief.")


async def test_there_is_a_mask_even_before_the_first_start(database: Database) -> None:
    async with database.read() as session:
        assert (await read_default(session)).system_prompt == SYSTEM_PROMPT


async def test_another_mask_becomes_the_only_default(any_database: Database) -> None:
    await ensure_default(any_database)
    async with any_database.write() as session:
        await edit_mask(session, "night", who="olga", temperature=0.7)
        await set_default(session, "night", who="olga")
        masks = await list_masks(session)
        assert (await read_default(session)).name == "night"
    assert [(mask.name, mask.is_default) for mask in masks] == [("night", True), ("default", False)]


@pytest.mark.parametrize(
    "changes",
    [
        {"system_prompt": " "},
        {"temperature": 3},
        {"max_tokens": 0},
        {"few_shot": [{"role": "assistant", "content": "first"}]},
        {"few_shot": [{"role": "user", "content": "only"}]},
        {"colour": "red"},
    ],
)
async def test_what_does_not_fit_a_mask_is_named(
    database: Database, changes: dict[str, object]
) -> None:
    await ensure_default(database)
    async with database.write() as session:
        with pytest.raises(MaskError, match=next(iter(changes))):
            await edit_mask(session, "default", who="olga", **changes)


async def test_an_unknown_mask_is_named_with_those_there_are(database: Database) -> None:
    await ensure_default(database)
    async with database.write() as session:
        with pytest.raises(MaskError, match="no mask 'nihgt'; there are: default"):
            await set_default(session, "nihgt", who="olga")
