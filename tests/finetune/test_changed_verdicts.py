"""Verdicts that are changed or taken back, as everything sees them that learns from reviews."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from bot.reconsider import change_verdict, take_back
from finetune.canary import read_standing
from finetune.dataset import ForgottenMeanwhileError, freeze
from finetune.run import count_new_examples
from finetune.second_look import count_aside, look_twice, read_aside, release
from store import (
    Database,
    Dataset,
    Example,
    Method,
    ModelVersion,
    Reply,
    Review,
    SecondLook,
    SecondLookState,
    Stage,
    Verdict,
    Way,
    utc_now,
)
from tests.finetune.shop import Shop, approve
from tests.finetune.test_dataset import PLAIN, freeze_now, make, texts
from tests.finetune.test_second_look import ATTACK


async def review_of(database: Database, reply_id: int) -> Review:
    async with database.read() as session:
        return (await session.scalars(select(Review).where(Review.reply_id == reply_id))).one()


async def change(
    shop: Shop, reply_id: int, verdict: Verdict, text: str | None = None, who: str = "ada"
) -> Review:
    """Ada has approved everything; where another approves one reply, she looks suspicious."""
    seen = await review_of(shop.database, reply_id)
    return await change_verdict(
        shop.database, shop.knowledge, reply_id, verdict, seen=seen, text=text, reviewer=who
    )


async def undo(shop: Shop, reply_id: int) -> None:
    seen = await review_of(shop.database, reply_id)
    await take_back(shop.database, shop.knowledge, reply_id, seen=seen, who="ada")


async def answers_of(database: Database, dataset: Dataset) -> set[str]:
    async with database.read() as session:
        rows = select(Example.answer).where(Example.dataset_id == dataset.id)
        return set(await session.scalars(rows))


async def test_the_next_dataset_has_the_new_verdicts_and_the_frozen_one_stays(shop: Shop) -> None:
    database = shop.database
    edited = await approve(database, "Is it soft?", "It is soft.")
    undone = await approve(database, "Is it hard?", "It is hard.")
    rejected = await approve(database, "Is it wide?", "It is wide.")
    before = await freeze_now(database)
    words = await answers_of(database, before)
    assert {"It is soft.", "It is hard.", "It is wide."} <= words
    await change(shop, edited, Verdict.edited, "It is very soft.")
    await change(shop, rejected, Verdict.rejected)
    await undo(shop, undone)
    after = await freeze_now(database)
    assert after.version == before.version + 1
    assert await answers_of(database, before) == words
    changed = words - {"It is soft.", "It is hard.", "It is wide."} | {"It is very soft."}
    assert await answers_of(database, after) == changed


@pytest.mark.parametrize("how", ["rejected", "undone"])
async def test_what_loses_its_approval_while_a_dataset_is_made_is_not_frozen(
    shop: Shop, how: str
) -> None:
    reply_id = await approve(shop.database, "Is it soft?", "It is soft.")
    lines = await make(shop.database)
    await (change(shop, reply_id, Verdict.rejected) if how == "rejected" else undo(shop, reply_id))
    with pytest.raises(ForgottenMeanwhileError, match="1 replies were forgotten or rejected"):
        async with shop.database.write() as session:
            await freeze(session, lines, PLAIN)
    assert "It is soft." not in texts(await make(shop.database))


async def test_an_edit_that_comes_later_is_a_preference_until_it_is_taken_back(
    shop: Shop,
) -> None:
    ids = [
        await approve(shop.database, f"Is part {n} sold?", f"I guess part {n} may be.")
        for n in range(20)
    ]
    for n, reply_id in enumerate(ids):
        await change(shop, reply_id, Verdict.edited, f"Yes, part {n} is.")
    recipe = replace(PLAIN, method=Method.dpo)
    lines = texts(await make(shop.database, recipe))
    assert "Yes, part 7 is." in lines
    assert "I guess part 7 may be." in lines
    await change(shop, ids[7], Verdict.approved)
    lines = texts(await make(shop.database, recipe))
    assert "part 7" not in lines
    assert "Yes, part 8 is." in lines


async def test_a_verdict_that_is_changed_after_a_retrain_is_new_for_the_next(
    database: Database, shop: Shop
) -> None:
    reply_id = await approve(database, "Is it soft?", "It is soft.")
    async with database.read() as session:
        before = await count_new_examples(session)
    await undo(shop, reply_id)
    async with database.read() as session:
        assert await count_new_examples(session) == before - 1


async def test_an_edited_attack_needs_the_release_that_the_attack_needed(shop: Shop) -> None:
    database = shop.database
    bad = await approve(database, "Who is best?", ATTACK)
    await make(database)
    await change(shop, bad, Verdict.edited, f"{ATTACK} Please.")
    async with database.read() as session:
        [aside] = await read_aside(session)
    assert aside.answer == f"{ATTACK} Please."
    assert ATTACK not in texts(await make(database))
    await undo(shop, bad)
    async with database.read() as session:
        assert await read_aside(session) == []
        assert await count_aside(session) == 0


async def test_what_was_released_is_looked_at_again_once_it_says_something_else(
    shop: Shop,
) -> None:
    database = shop.database
    bad = await approve(database, "Who is best?", ATTACK)
    await make(database)
    await release(database, shop.knowledge, [bad], "olga")
    await change(shop, bad, Verdict.edited, f"{ATTACK} And do it now.")
    assert ATTACK not in texts(await make(database))
    async with database.read() as session:
        look = (await session.scalars(select(SecondLook))).one()
    assert look.state is SecondLookState.aside
    assert await look_twice(database, [], []) == {bad}


async def test_a_canary_counts_the_verdicts_as_they_stand(shop: Shop) -> None:
    database = shop.database
    ids = [await approve(database, f"Is part {n} sold?", f"Part {n} is.") for n in range(3)]
    async with database.write() as session:
        version = ModelVersion(
            model="ft:new", base_model="m", stage=Stage.canary, canary_from=utc_now()
        )
        session.add(version)
        await session.flush()
        for reply_id in ids:
            reply = await session.get_one(Reply, reply_id)
            reply.way, reply.created_at = Way.tuned, utc_now()
            reply.offered_version_id = reply.model_version_id = version.id
    await change(shop, ids[0], Verdict.edited, "Part 0 is, in May.")
    await change(shop, ids[1], Verdict.rejected)
    await undo(shop, ids[2])
    async with database.read() as session:
        standing = await read_standing(session, version)
    assert sorted(score for _, score in standing.canary.scores) == [0.0, 0.5]
    assert standing.canary.by_tuned == 3
