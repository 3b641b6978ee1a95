import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from bot.masks import read_default
from bot.prompt import Budget, build_prompt
from finetune.dataset import Lines, TooFewExamplesError, freeze, make_lines
from finetune.examples import Approved, read_approved
from finetune.files import write_file
from finetune.recipe import Recipe
from finetune.second_look import Embed
from finetune.split import side_of
from knowledge.retrieved import Retrieved
from store import (
    ChunkKind,
    Database,
    Dataset,
    Example,
    Mask,
    Method,
    Review,
    Split,
    Turn,
    Verdict,
    conversation_id,
)
from tests.finetune.shop import approve, approve_many

PLAIN = Recipe(holdout_share=0.3, context="none")
ADDRESSES = [f"customer-{n}" for n in range(20)]
SIDES = {name: side_of(conversation_id("web", name), PLAIN.holdout_share) for name in ADDRESSES}
IN_TRAIN = next(name for name in ADDRESSES if SIDES[name] is Split.train)
HELD_OUT = next(name for name in ADDRESSES if SIDES[name] is Split.holdout)

WOODS = (  # noqa: SIM905
    "ash beech birch cedar cherry elm fir larch lime maple oak pear pine teak walnut yew spruce"
).split()


async def spread_over_days(database: Database) -> None:
    """Or many who ask the same look like an attack."""
    async with database.write() as session:
        for turn in await session.scalars(select(Turn)):
            turn.created_at -= timedelta(days=turn.id)


async def look_at_nothing(_example: Approved) -> list[Retrieved]:
    return []


async def make(database: Database, recipe: Recipe = PLAIN, *, embed: Embed | None = None) -> Lines:
    return await make_lines(database, look_at_nothing, recipe, embed)


async def freeze_now(database: Database, recipe: Recipe = PLAIN) -> Dataset:
    lines = await make(database, recipe)
    async with database.write() as session:
        return await freeze(session, lines, recipe)


def texts(lines: Lines) -> str:
    return "\n".join(line.text for side in Split for line in lines.sides[side])


async def test_only_what_a_person_approved_or_edited_is_learnt(database: Database) -> None:
    await approve_many(database)
    await approve(database, "Sent unseen?", "unseen answer", verdict=None)
    await approve(database, "Rejected?", "rejected answer", verdict=Verdict.rejected)
    await approve(database, "Edited?", "edited answer", verdict=Verdict.edited)
    learnt = texts(await make(database))
    assert "edited answer" in learnt
    assert "unseen answer" not in learnt
    assert "rejected answer" not in learnt


async def test_every_phrasing_is_an_example(database: Database) -> None:
    await approve_many(database)
    await approve(
        database,
        "Do you take old beds?",
        "Yes, for 20 euros.",
        phrasings=["Old bed away?", "Do you take old beds?", " "],
    )
    lines = await make(database)
    asked = [
        line.example.question
        for side in Split
        for line in lines.sides[side]
        if line.example.answer == "Yes, for 20 euros."
    ]
    assert asked == ["Do you take old beds?", "Old bed away?"]


async def test_a_conversation_is_one_line_that_learns_every_approved_answer_and_no_other(
    database: Database,
) -> None:
    async with database.write() as session:
        few_shot = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
        session.add(Mask(name="shop", system_prompt="Be kind.", few_shot=few_shot, is_default=True))
    await approve_many(database)
    first = await approve(database, "Do you sell lamps?", "Yes.", address=IN_TRAIN)
    await approve(database, "Are they bright?", "Rather.", address=IN_TRAIN, verdict=None)
    last = await approve(database, "And in red?", "In red too.", address=IN_TRAIN)
    lines = await make(database)
    [line] = [line for line in lines.sides[Split.train] if last in line.reply_ids]
    assert line.reply_ids == [first, last]
    assert json.loads(line.text)["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "weight": 0},
        {"role": "user", "content": "Do you sell lamps?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Are they bright?"},
        {"role": "assistant", "content": "Rather.", "weight": 0},
        {"role": "user", "content": "And in red?"},
        {"role": "assistant", "content": "In red too."},
    ]


async def test_every_answer_is_trained_once_after_the_prompt_that_serving_would_give(
    database: Database,
) -> None:
    budget = Budget(history_tokens=40)
    await approve_many(database)
    for n in range(9):
        question = f"What of thing number {n}, which has a long name?"
        await approve(database, question, f"Thing {n} is as good as any.", address=IN_TRAIN)
    lines = await make(database, replace(PLAIN, budget=budget))
    async with database.read() as session:
        approved = await read_approved(session)
        mask = await read_default(session)
    wanted = [example for example in approved if "thing number" in example.question]
    trained = [
        (messages[:place], message["content"])
        for line in lines.sides[Split.train]
        if "thing number" in line.text
        for messages in [json.loads(line.text)["messages"]]
        for place, message in enumerate(messages)
        if message["role"] == "assistant" and message.get("weight") != 0
    ]
    assert len(trained) == len(wanted) == 9
    for example in wanted:
        prompt = build_prompt(mask, example.history, example.question, budget=budget)
        [seen] = [before for before, answer in trained if answer == example.answer]
        assert [message["content"] for message in seen] == [each["content"] for each in prompt]


async def test_what_was_edited_after_it_was_sent_is_no_context_of_what_followed(
    database: Database,
) -> None:
    await approve_many(database)
    first = await approve(database, "Do you sell lamps?", "Nope.", address=IN_TRAIN)
    async with database.write() as session:
        await session.execute(
            update(Review).where(Review.reply_id == first).values(verdict="edited", text="Yes.")
        )
    last = await approve(database, "And in red?", "In red too.", address=IN_TRAIN)
    lines = (await make(database)).sides[Split.train]
    said = {tuple(line.reply_ids): json.loads(line.text)["messages"] for line in lines}
    assert said[first,][-1] == {"role": "assistant", "content": "Yes."}
    assert said[last,][-3] == {"role": "assistant", "content": "Nope.", "weight": 0}


async def test_held_out_answers_are_asked_one_by_one(database: Database) -> None:
    await approve_many(database)
    await approve(database, "Do you sell lamps?", "Yes.", address=HELD_OUT)
    await approve(database, "And in red?", "In red too.", address=HELD_OUT)
    asked = [line.example.question for line in (await make(database)).sides[Split.holdout]]
    assert {"Do you sell lamps?", "And in red?"} <= set(asked)


async def test_edits_become_pairs_of_the_edit_and_its_draft(database: Database) -> None:
    await approve_many(database)
    for n in range(20):
        await approve(
            database,
            f"Is part {n} sold?",
            f"Yes, part {n} is.",
            verdict=Verdict.edited,
            draft=f"I guess part {n} may be.",
        )
    dataset = await freeze_now(database, replace(PLAIN, method=Method.dpo))
    async with database.read() as session:
        rows = (await session.scalars(select(Example))).all()
    assert dataset.method is Method.dpo
    assert dataset.train_count + dataset.holdout_count == len(rows) == 20
    assert dataset.report["left_out"] == {"not edited, so no pair": 31}
    line = json.loads(next(row.line for row in rows if row.question == "Is part 7 sold?"))
    assert line["input"]["messages"][-1] == {"role": "user", "content": "Is part 7 sold?"}
    [chosen], [rejected] = line["preferred_completion"], line["non_preferred_completion"]
    assert chosen == {"role": "assistant", "content": "Yes, part 7 is."}
    assert rejected == {"role": "assistant", "content": "I guess part 7 may be."}


async def test_without_edits_there_is_nothing_for_dpo_and_it_says_what_to_do(
    database: Database,
) -> None:
    await approve_many(database)
    with pytest.raises(TooFewExamplesError, match=r"31 not edited, so no pair\): edit more"):
        await make(database, replace(PLAIN, method=Method.dpo))


async def test_what_is_nearly_asked_in_the_hold_out_is_not_trained(database: Database) -> None:
    await approve_many(database)
    await approve(database, "Do you take old beds along?", "Yes.", address=HELD_OUT)
    await approve(
        database,
        "Hello, do you take old beds along please?",
        "We do.",
        address=IN_TRAIN,
        phrasings=["Do you take old bed along", "Do you take old sofas along?", "Is it free?"],
    )
    lines = await make(database)
    trained = [line.example.question for line in lines.sides[Split.train]]
    assert [asked for asked in trained if "take old" in asked] == ["Do you take old sofas along?"]
    assert "Is it free?" in trained
    assert lines.report["left_out"]["nearly asked in the hold-out"] >= 2


async def test_facts_that_expire_are_counted_and_left_out_on_demand(database: Database) -> None:
    await approve_many(database)
    await approve(database, "Is the Fern in stock?", "It is sold out until May 3rd.")
    for wood in WOODS:
        await approve(database, f"How hard is {wood}?", f"Wood of {wood} is hard.")
    kept = await make(database)
    assert kept.report["expiring"]["price"] >= 10
    assert (
        "price"
        not in (await make(database, replace(PLAIN, expiring="leave_out"))).report["expiring"]
    )


async def test_the_recipe_and_the_mask_are_kept_with_the_dataset(database: Database) -> None:
    await approve_many(database)
    dataset = await freeze_now(database, replace(PLAIN, words=("Ada",)))
    assert dataset.recipe["words"] in (["Ada"], ("Ada",))
    assert dataset.recipe["near_duplicate"] == PLAIN.near_duplicate
    assert dataset.recipe["mask"]["system_prompt"]


async def test_the_same_rows_give_the_same_hash_and_the_same_dataset(database: Database) -> None:
    await approve_many(database)
    first = await freeze_now(database)
    again = await freeze_now(database)
    assert again.id == first.id
    await approve(database, "Something new?", "Yes, new.")
    other = await freeze_now(database)
    assert other.version == first.version + 1
    assert other.sha256 != first.sha256


async def test_no_held_out_conversation_or_question_is_trained_on(database: Database) -> None:
    await approve_many(database)
    for n in range(30):
        await approve(database, "Is it new?", "Yes, all is new.", address=f"same-{n}")
    await spread_over_days(database)
    dataset = await freeze_now(database)
    async with database.read() as session:
        rows = (await session.scalars(select(Example))).all()
    train = [row for row in rows if row.split is Split.train]
    holdout = [row for row in rows if row.split is Split.holdout]
    assert len(train) == dataset.train_count >= 10
    assert len(holdout) == dataset.holdout_count >= 5
    assert not {r.conversation_id for r in train} & {r.conversation_id for r in holdout}
    assert not {r.question.lower() for r in train} & {r.question.lower() for r in holdout}
    assert dataset.report["left_out"]["asked in the hold-out too"] > 10


async def test_facts_of_held_out_conversations_are_no_context_of_training(
    database: Database,
) -> None:
    await approve_many(database, 15)
    approved = 2 * 15 + 1
    looked_at: list[Approved] = []

    def fact(reply_id: int) -> Retrieved:
        return Retrieved(
            chunk_id=reply_id,
            document_id=1,
            kind=ChunkKind.pair,
            title="",
            source="",
            text=f"fact of reply {reply_id}.",
            reply_id=reply_id,
            score=1,
        )

    async def look(example: Approved) -> list[Retrieved]:
        looked_at.append(example)
        return [fact(n) for n in range(1, approved + 1) if n != example.reply_id]

    recipe = Recipe(holdout_share=0.3, context="all", max_example_tokens=10_000)
    lines = await make_lines(database, look, recipe)
    held_out = {line.example.reply_id for line in lines.sides[Split.holdout]}
    trained_on = "\n".join(line.text for line in lines.sides[Split.train])
    assert len(looked_at) == sum(map(len, lines.sides.values()))
    assert "fact of reply" in trained_on
    assert not [n for n in held_out if f"fact of reply {n}." in trained_on]


async def test_personal_details_do_not_leave_the_store(database: Database) -> None:
    await approve_many(database)
    await approve(database, "Write to eve@example.com?", "Yes, or to 13812345678.")
    lines = await make(database)
    assert "eve@example.com" not in texts(lines)
    assert "13812345678" not in texts(lines)
    assert lines.report["redacted"] == {"email": 1, "phone": 1}


async def test_an_example_too_long_for_a_small_model_is_left_out_and_counted(
    database: Database,
) -> None:
    await approve_many(database)
    await approve(database, "Tell me all", "word " * 3000)
    lines = await make(database)
    assert lines.report["left_out"]["too long"] == 1


async def test_fewer_than_ten_examples_are_refused_with_their_number(database: Database) -> None:
    await approve_many(database, 2)
    with pytest.raises(TooFewExamplesError, match="at least 10 are needed"):
        await freeze_now(database)
    async with database.read() as session:
        assert (await session.scalars(select(Dataset))).all() == []


async def test_nothing_held_out_is_refused(database: Database) -> None:
    await approve_many(database)
    with pytest.raises(TooFewExamplesError, match="hold-out"):
        await make(database, Recipe(holdout_share=0.0, context="none"))


async def test_the_files_are_the_rows(database: Database, tmp_path: Path) -> None:
    await approve_many(database)
    dataset = await freeze_now(database)
    path = await write_file(database, dataset, Split.train, tmp_path)
    await write_file(database, dataset, Split.train, tmp_path)
    assert path == tmp_path / "datasets" / "v1" / "train.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == dataset.train_count
    assert all(json.loads(line)["messages"][-1]["role"] == "assistant" for line in lines)
    assert [child.name for child in path.parent.iterdir()] == ["train.jsonl"]
