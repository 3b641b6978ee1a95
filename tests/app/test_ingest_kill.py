"""`kill -9` of `nod ingest` in each step: the next one goes on, nothing lacks, nothing is twice."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from knowledge.dense import DenseIndex
from tests.app.dying_ingest import STEPS

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "a.md": "# Delivery\nFree in Norway.\n\n# Returns\nWithin 100 days.",
    "b.csv": "question,answer\nIs it firm?,Medium firm.\nIs it heavy?,Not at all.\n",
    "c.txt": "Beds cost 300.",
}
BEFORE = {"a.md": "# Delivery\nFree in Chile.", "gone.txt": "Sofas cost 900.", "old.txt": "Old."}
RunIngest = Callable[[str], int]


@pytest.fixture(scope="module")
def program() -> Iterator[subprocess.Popen[str]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NOD_")}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.app.dying_ingest"],
        cwd=ROOT,
        env=kept | {"PYTHONPATH": str(ROOT), "NOD_SAMPLE": "0", "NO_COLOR": "1"},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        yield process


@pytest.fixture
def run_ingest(program: subprocess.Popen[str], tmp_path: Path, modelserver_url: str) -> RunIngest:
    """Runs `nod ingest` on the documents until a step; its exit status."""

    def run(step: str) -> int:
        assert program.stdin is not None
        assert program.stdout is not None
        order = {"home": str(tmp_path / "nod"), "url": modelserver_url, "step": step}
        program.stdin.write(json.dumps(order | {"folder": str(tmp_path / "documents")}) + "\n")
        program.stdin.flush()
        return int(program.stdout.readline())

    return run


def write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, text in files.items():
        (folder / name).write_text(text)


async def ids_in_chroma(home: Path) -> list[int]:
    index = DenseIndex(model="multilingual-e5-small", folder=home / "chroma")
    try:
        return sorted(await index.ids())
    finally:
        await index.close()


@pytest.mark.parametrize("step", STEPS)
async def test_killed_in_this_step_an_ingest_is_finished_by_the_next(
    step: str, run_ingest: RunIngest, tmp_path: Path
) -> None:
    home, folder = tmp_path / "nod", tmp_path / "documents"
    log = tmp_path / "nod.log"
    write(folder, BEFORE)
    assert run_ingest("never") == 0, log.read_text()
    write(folder, FILES)
    assert run_ingest(step) == -signal.SIGKILL, log.read_text()
    assert run_ingest("never") == 0, log.read_text()
    with closing(sqlite3.connect(home / "nod.db")) as database:
        rows = database.execute(
            "select chunk.id, source, chunk.text, indexed_at is not null from chunk"
            " join document on document.id = document_id order by source, seq"
        ).fetchall()
        documents = database.execute("select source from document where kind = 'file'").fetchall()
    assert [(Path(source).name, text, embedded) for _, source, text, embedded in rows] == [
        ("a.md", "Free in Norway.", 1),
        ("a.md", "Within 100 days.", 1),
        ("b.csv", "Medium firm.", 1),
        ("b.csv", "Not at all.", 1),
        ("c.txt", "Beds cost 300.", 1),
    ]
    assert sorted(Path(source).name for (source,) in documents) == sorted(FILES)
    assert await ids_in_chroma(home) == sorted(chunk_id for chunk_id, *_ in rows)
