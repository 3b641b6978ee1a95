"""What other trainers read of a dataset: each learnt answer is a target once, on its own side."""

import importlib.util
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from finetune.export import ExportError, Format, export
from store import Database, Dataset, Example, Mask, Method, Review, Split, Verdict
from tests.finetune.shop import approve, approve_many
from tests.finetune.test_dataset import HELD_OUT, IN_TRAIN, PLAIN, freeze_now

TAUGHT = tuple(each for each in Format if each is not Format.preference)
PAIRED = (Format.preference, Format.llamafactory, Format.lmflow)
FIRST, UNSEEN, LAST = "Yes, of oak.", "Rather bright.", "In red too."


@pytest.fixture
async def talk(database: Database) -> Dataset:
    """Conversations of several turns on both sides, one of whose answers nobody approved."""
    few_shot = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    async with database.write() as session:
        session.add(Mask(name="shop", system_prompt="Be kind.", few_shot=few_shot, is_default=True))
    await approve_many(database)
    await approve(database, "Do you sell lamps?", FIRST, address=IN_TRAIN)
    await approve(database, "Are they bright?", UNSEEN, address=IN_TRAIN, verdict=None)
    await approve(database, "And in red?", LAST, address=IN_TRAIN)
    await approve(database, "Is there a garden?", "A small one.", address=HELD_OUT)
    await approve(database, "With bees in it?", "With many.", address=HELD_OUT)
    return await freeze_now(database)


@pytest.fixture
async def pairs(database: Database) -> Dataset:
    for n in range(30):
        said = {"draft": f"I guess part {n} may be.", "address": f"customer-{n % 20}"}
        await approve(
            database, f"Is part {n} sold?", f"Yes, part {n} is.", verdict=Verdict.edited, **said
        )
    return await freeze_now(database, replace(PLAIN, method=Method.dpo, near_duplicate=1.0))


@pytest.mark.parametrize("format_", TAUGHT)
async def test_each_learnt_answer_is_a_target_exactly_once(
    database: Database, talk: Dataset, tmp_path: Path, format_: Format
) -> None:
    written = await export(database, talk, format_, tmp_path)
    for side, path in zip(Split, written, strict=True):
        records = read(path, format_)
        assert len(records) == written[path]
        learnt = [answer for record in records for answer in _targets(record, format_)]
        assert UNSEEN not in learnt
        assert Counter(learnt) == await _approved(database, talk, side)


async def test_no_question_of_the_hold_out_stands_in_a_train_file(
    database: Database, talk: Dataset, tmp_path: Path
) -> None:
    async with database.read() as session:
        rows = list(await session.scalars(select(Example).where(Example.split == Split.holdout)))
    assert "With bees in it?" in [row.question for row in rows]
    for format_ in TAUGHT:
        written = await export(database, talk, format_, tmp_path / format_)
        train, holdout = [path.read_text() for path in written]
        assert [row.question for row in rows if row.question in train] == []
        assert [row.question for row in rows if row.question not in holdout] == []


@pytest.mark.parametrize("format_", PAIRED)
async def test_pairs_keep_the_edit_apart_from_its_draft(
    database: Database, pairs: Dataset, tmp_path: Path, format_: Format
) -> None:
    written = await export(database, pairs, format_, tmp_path)
    assert sum(written.values()) == pairs.train_count + pairs.holdout_count
    for path in written:
        for record in read(path, format_):
            chosen, rejected = _sides(record, format_)
            number = chosen.removeprefix("Yes, part ").removesuffix(" is.")
            assert number.isdecimal()
            assert rejected == f"I guess part {number} may be."


@pytest.mark.parametrize("format_", [each for each in TAUGHT if each not in PAIRED])
async def test_a_trainer_of_answers_gets_the_edits_of_pairs_alone(
    database: Database, pairs: Dataset, tmp_path: Path, format_: Format
) -> None:
    for side, path in zip(Split, await export(database, pairs, format_, tmp_path), strict=True):
        learnt = [each for record in read(path, format_) for each in _targets(record, format_)]
        assert Counter(learnt) == await _approved(database, pairs, side)


async def test_llama_factory_finds_both_sides_by_their_entries(
    database: Database, talk: Dataset, pairs: Dataset, tmp_path: Path
) -> None:
    for dataset, is_ranking in ((talk, None), (pairs, True)):
        folder = tmp_path / f"v{dataset.version}"
        await export(database, dataset, Format.llamafactory, folder)
        info = json.loads((folder / "dataset_info.json").read_text())
        assert set(info) == {f"nod_v{dataset.version}_{side}" for side in Split}
        for entry in info.values():
            [record, *_] = json.loads((folder / entry["file_name"]).read_text())
            assert set(entry["columns"].values()) == record.keys()
            assert entry.get("ranking") is is_ranking


async def test_hugging_faces_loader_reads_every_form(
    database: Database, talk: Dataset, pairs: Dataset, tmp_path: Path
) -> None:
    if importlib.util.find_spec("datasets") is None:
        pytest.skip("Hugging Face's datasets is not installed")
    from datasets import Dataset as Loaded
    from datasets import disable_progress_bars

    disable_progress_bars()
    for format_ in Format:
        field = "instances" if format_ is Format.lmflow else None
        for dataset in (talk, pairs) if format_ is not Format.preference else (pairs,):
            folder = tmp_path / format_ / f"v{dataset.version}"
            for path, count in (await export(database, dataset, format_, folder)).items():
                loaded = Loaded.from_json(str(path), field=field, cache_dir=str(tmp_path / "cache"))
                assert loaded.num_rows == count > 0
                assert set(loaded.column_names) == read(path, format_)[0].keys()


async def test_preferences_of_a_dataset_without_pairs_are_refused_with_the_way_out(
    database: Database, talk: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="no pairs; `nod retrain --method dpo`"):
        await export(database, talk, Format.preference, tmp_path / "out")
    assert not (tmp_path / "out").exists()


async def test_a_file_in_the_place_of_the_folder_is_refused_and_kept(
    database: Database, talk: Dataset, tmp_path: Path
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    with pytest.raises(ExportError, match=r"notes\.txt is a file; name a folder"):
        await export(database, talk, Format.openai, file)
    assert file.read_text() == "mine"


async def test_a_second_export_replaces_the_files_whole(
    database: Database, talk: Dataset, tmp_path: Path
) -> None:
    [train, _] = await export(database, talk, Format.openai, tmp_path / "out")
    whole = train.read_text()
    train.write_text("x" * 10 * len(whole))
    await export(database, talk, Format.openai, tmp_path / "out")
    assert train.read_text() == whole
    assert sorted(path.name for path in train.parent.iterdir()) == ["holdout.jsonl", "train.jsonl"]


def read(path: Path, format_: Format) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines()]
    whole = json.loads(text)
    return whole["instances"] if format_ is Format.lmflow else whole  # type: ignore[no-any-return]


def _targets(record: dict[str, Any], format_: Format) -> Iterator[str]:
    """What a trainer of this form learns of a record, by the rules of its documentation."""
    match format_:
        case Format.openai:
            for message in record["messages"]:
                if message["role"] == "assistant" and message.get("weight", 1):
                    yield message["content"]
        case Format.sharegpt | Format.llamafactory:
            yield record["conversations"][-1]["value"]
        case Format.alpaca:
            yield record["output"]
        case Format.xtuner:
            for turn in record["conversation"]:
                if turn["output_with_loss"]:
                    yield turn["output"]
        case Format.lmflow:
            for message in record["messages"]:
                if message["role"] == "assistant":
                    yield message["content"]


def _sides(record: dict[str, Any], format_: Format) -> tuple[str, str]:
    match format_:
        case Format.preference:
            [chosen], [rejected] = (
                record["preferred_completion"],
                record["non_preferred_completion"],
            )
            return chosen["content"], rejected["content"]
        case Format.llamafactory:
            return record["chosen"]["value"], record["rejected"]["value"]
        case _:
            chosen, rejected = record["chosen"]["messages"], record["rejected"]["messages"]
            assert chosen[:-1] == rejected[:-1]
            return chosen[-1]["content"], rejected[-1]["content"]


async def _approved(database: Database, dataset: Dataset, side: Split) -> Counter[str]:
    """The answers that reviewers approved of the replies on this side."""
    async with database.read() as session:
        lines = await session.scalars(
            select(Example.reply_ids).where(Example.dataset_id == dataset.id, Example.split == side)
        )
        ids = [reply_id for line in lines for reply_id in line]
        rows = await session.execute(
            select(Review.reply_id, Review.text).where(Review.reply_id.in_(ids))
        )
        said = {reply_id: text or "" for reply_id, text in rows}
    return Counter(said[reply_id] for reply_id in ids)
