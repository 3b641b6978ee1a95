"""Masks: one is the default, and each is checked."""

import pytest

from bot.masks import (
    MaskError,
    edit_mask,
    ensure_default,
    list_masks,
    read_default,
    remove_mask,
    set_default,
)
from bot.prompt import SYSTEM_PROMPT
from store import Database

EXCHANGE = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Good day!"}]


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
        {"system_prompt": "Be brief. " * 200},
        {"few_shot": EXCHANGE * 200},
        {"system_prompt": "Be kind. " * 150, "few_shot": EXCHANGE * 50},
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


async def test_a_mask_that_would_eat_the_context_is_refused_with_the_way_out(
    database: Database,
) -> None:
    await ensure_default(database)
    async with database.write() as session:
        await edit_mask(session, "default", who="olga", few_shot=EXCHANGE)
        with pytest.raises(MaskError) as caught:
            await edit_mask(session, "default", who="olga", system_prompt="Kind. " * 300)
        said = str(caught.value)
        assert "'default' would take 604 tokens" in said
        assert "system_prompt 600, few_shot 4" in said
        assert "NOD_MASK_TOKENS" in said
        longer = "Kind. " * 300
        await edit_mask(session, "default", who="olga", within_tokens=604, system_prompt=longer)


@pytest.mark.parametrize("name", ["", " night", "n" * 65, "a\nb"])
async def test_a_name_that_cannot_be_typed_again_is_refused(database: Database, name: str) -> None:
    async with database.write() as session:
        with pytest.raises(MaskError, match="1 to 64 printable"):
            await edit_mask(session, name, who="olga")


async def test_the_default_mask_stays_until_another_takes_its_place(database: Database) -> None:
    await ensure_default(database)
    async with database.write() as session:
        await edit_mask(session, "night", who="olga")
        with pytest.raises(MaskError, match="is the default"):
            await remove_mask(session, "default", who="olga")
        await remove_mask(session, "night", who="olga")
        assert [mask.name for mask in await list_masks(session)] == ["default"]
