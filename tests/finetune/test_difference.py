from dataclasses import replace

import pytest

from finetune.difference import NoSuchDatasetError, compare, get_dataset
from store import Database, Split
from tests.finetune.shop import approve, approve_many
from tests.finetune.test_dataset import IN_TRAIN, PLAIN, freeze_now


async def test_lines_that_only_one_of_two_datasets_has_are_told_with_the_recipes_change(
    database: Database,
) -> None:
    await approve_many(database)
    await approve(database, "Do you sell lamps?", "Yes.", address=IN_TRAIN)
    before = await freeze_now(database)
    await approve(database, "And in red?", "In red too.", address=IN_TRAIN)
    after = await freeze_now(database, replace(PLAIN, max_example_tokens=1700))
    async with database.read() as session:
        found = await compare(session, before, after)
        back = await compare(session, after, before)
    # The conversation's one line has grown: it is another line now.
    [added], [removed] = found.added, found.removed
    assert (added.question, added.split) == ("And in red?", Split.train)
    assert (removed.question, removed.split) == ("Do you sell lamps?", Split.train)
    assert found.same == before.train_count + before.holdout_count - 1
    assert found.recipe == {"max_example_tokens": (1800, 1700)}
    assert [line.id for line in back.added] == [removed.id]
    assert [line.id for line in back.removed] == [added.id]


async def test_a_dataset_does_not_differ_from_itself(database: Database) -> None:
    await approve_many(database)
    one = await freeze_now(database)
    async with database.read() as session:
        found = await compare(session, one, one)
    assert (found.added, found.removed, found.recipe) == ([], [], {})
    assert found.same == one.train_count + one.holdout_count


async def test_an_unknown_version_is_refused_with_where_the_known_ones_stand(
    database: Database,
) -> None:
    with pytest.raises(NoSuchDatasetError, match="no dataset v7; `nod dataset list` shows them"):
        async with database.read() as session:
            await get_dataset(session, 7)
