"""The files of a dataset, on the machines that a run has been on."""

from pathlib import Path

from finetune.files import folder_of, remove_struck, write_file
from store import Database, Dataset, Split
from tests.finetune.shop import approve, approve_many
from tests.finetune.test_dataset import IN_TRAIN, freeze_now
from tests.finetune.test_forget import SECRET, ask
from tests.finetune.test_forget_meanwhile import forget


async def test_another_machines_files_of_a_struck_dataset_go_when_it_looks(
    database: Database, tmp_path: Path
) -> None:
    dataset = await _written(database, tmp_path)
    await remove_struck(database, tmp_path)
    assert SECRET in _all_texts(tmp_path)  # nobody has asked to be forgotten
    await ask(database, IN_TRAIN)
    await forget(database)  # with the data folder of another machine
    await remove_struck(database, tmp_path)
    assert not folder_of(tmp_path, dataset.version).exists()


async def test_files_that_were_written_after_the_striking_stay(
    database: Database, tmp_path: Path
) -> None:
    dataset = await _written(database, tmp_path)
    await ask(database, IN_TRAIN)
    await forget(database)
    path = await write_file(database, dataset, Split.train, tmp_path)
    await remove_struck(database, tmp_path)
    assert path.read_text()
    assert SECRET not in _all_texts(tmp_path)


async def _written(database: Database, home: Path) -> Dataset:
    await approve_many(database)
    await approve(database, f"A {SECRET}?", f"The {SECRET} is.", address=IN_TRAIN)
    dataset = await freeze_now(database)
    for side in Split:
        await write_file(database, dataset, side, home)
    return dataset


def _all_texts(home: Path) -> str:
    return "".join(path.read_text() for path in home.rglob("*.jsonl"))
