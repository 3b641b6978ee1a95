import json
from pathlib import Path

import pytest
from sqlalchemy import select

from finetune.dataset import Lines, Recipe, TooFewExamplesError, freeze, make_lines, write_file
from finetune.examples import Approved
from knowledge.retrieved import Retrieved
from store import ChunkKind, Database, Dataset, Example, Mask, Split, Verdict
from tests.finetune.shop import approve, approve_many

PLAIN = Recipe(holdout_share=0.3, context="none")


async def look_at_nothing(_example: Approved) -> list[Retrieved]:
    return []


async def make(database: Database, recipe: Recipe = PLAIN) -> Lines:
    return await make_lines(database, look_at_nothing, recipe)


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


async def test_a_line_is_the_prompt_of_serving_and_learns_the_answer_alone(
    database: Database,
) -> None:
    async with database.write() as session:
        few_shot = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
        session.add(Mask(name="shop", system_prompt="Be kind.", few_shot=few_shot, is_default=True))
    await approve_many(database)
    await approve(database, "Do you sell lamps?", "Yes.", address="ann")
    await approve(database, "And in red?", "In red too.", address="ann")
    lines = await make(database)
    every = [line for side in Split for line in lines.sides[side]]
    [last] = [line for line in every if line.example.question == "And in red?"]
    assert json.loads(last.text)["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "weight": 0},
        {"role": "user", "content": "Do you sell lamps?"},
        {"role": "assistant", "content": "Yes.", "weight": 0},
        {"role": "user", "content": "And in red?"},
        {"role": "assistant", "content": "In red too."},
    ]


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
    assert len(looked_at) == approved
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
    assert lines.report["left_out"] == {"too long": 1}


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
