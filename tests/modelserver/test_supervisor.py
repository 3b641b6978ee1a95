"""What goes wrong around a training loses no model: the supervisor with the stub's real trainer."""

import errno
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from modelserver import finish, supervisor, waits
from modelserver.catalog import Model
from modelserver.database import Database
from modelserver.engine.stub import StubEngine
from modelserver.files import Files
from modelserver.finish import Finish
from modelserver.ids import derived_id
from modelserver.jobs import Jobs, NewJob
from modelserver.progress import Progress
from modelserver.supervisor import Supervisor
from modelserver.trainer import Trainer, TrainingSettings
from tests.modelserver.training_jobs import BASE, PAIRS, lines_of

FULL = OSError(errno.ENOSPC, "No space left on device")
BROKEN = OSError(errno.EIO, "Input/output error")
LOCKED = sqlite3.OperationalError("database is locked")


class Faults:
    """Raises what is put in, in its order, wherever it stands before a function."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.raised = 0

    def before(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def faulty(*arguments: Any, **named: Any) -> Any:
            if self.errors:
                self.raised += 1
                raise self.errors.pop(0) if len(self.errors) > 1 else self.errors[0]
            return act(*arguments, **named)

        return faulty


class Workshop:
    """The rows, the files and one supervisor after another, as a server that is restarted has."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.database = Database(data_dir / "modelserver.sqlite3")
        self.files = Files(self.database, data_dir / "files")
        self.jobs = Jobs(self.database)

    @contextmanager
    def at_work(self) -> Iterator[Supervisor]:
        engine = StubEngine([BASE])
        moves = Supervisor(
            self.database, self.files, engine, self.data_dir, TrainingSettings(processes=1)
        )
        moves.start()
        try:
            yield moves
        finally:
            moves.stop()

    def create(self, suffix: str = "one", n_epochs: int = 2) -> str:
        source = self.data_dir / "source.jsonl"
        source.write_bytes(lines_of(PAIRS))
        with source.open("rb") as content:
            added = self.files.add(
                content, filename="t.jsonl", purpose="fine-tune", expires_after_s=None
            )
        new = NewJob(
            base=BASE,
            method="supervised",
            hyperparameters={"n_epochs": n_epochs},
            training_file=added["id"],
            suffix=suffix,
        )
        return str(self.jobs.create(new)["id"])

    def wait_for(self, job_id: str, status: str) -> dict[str, Any]:
        eventually(lambda: self.jobs.show(job_id)["status"] in (status, "failed"))
        job = self.jobs.show(job_id)
        assert job["status"] == status, job["error"]
        return job

    def warnings(self, job_id: str) -> list[str]:
        events = self.jobs.list_events(job_id, limit=100, after=None)["data"]
        return [event["message"] for event in events if event["level"] == "warn"]

    def told(self, job_id: str) -> list[dict[str, Any]]:
        """What trainers of this job said in all their lives."""
        path = self.data_dir / "jobs" / job_id / "progress.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def trainings(self, job_id: str) -> int:
        return sum(each["type"] == "started" for each in self.told(job_id))


def eventually(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    for module, name in ((waits, "FIRST_WAIT_S"), (supervisor, "_RETRY_S")):
        monkeypatch.setattr(module, name, 0.05)
    monkeypatch.setattr(waits, "LONGEST_WAIT_S", 0.2)
    monkeypatch.setattr(supervisor, "_IDLE_S", 0.1)
    made = Workshop(tmp_path)
    yield made
    made.database.close()


def results_of(job: dict[str, Any], workshop: Workshop) -> bytes:
    [file_id] = job["result_files"]
    return workshop.files.path(file_id).read_bytes()


def test_a_model_is_served_on_a_full_disk_and_its_results_come_once_there_is_room(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = workshop.create()
    faults = Faults()
    faults.errors = [FULL]
    monkeypatch.setattr(Files, "write", faults.before(Files.write))
    with workshop.at_work():
        job = workshop.wait_for(job_id, "succeeded")
        assert job["fine_tuned_model"]
        assert job["result_files"] == []
        [warning] = workshop.warnings(job_id)
        assert f"the disk is full; make room in {workshop.data_dir}" in warning
        faults.errors = []
        eventually(lambda: workshop.jobs.show(job_id)["result_files"])
    assert results_of(workshop.jobs.show(job_id), workshop)


def test_owed_results_are_written_after_a_restart(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = workshop.create()
    with monkeypatch.context() as broken:
        broken.setattr(Files, "write", raising(BROKEN))
        with workshop.at_work():
            workshop.wait_for(job_id, "succeeded")
    with workshop.at_work():
        eventually(lambda: workshop.jobs.show(job_id)["result_files"])
    assert results_of(workshop.jobs.show(job_id), workshop)


def test_results_that_can_never_be_written_cost_their_job_and_the_others_nothing(
    workshop: Workshop,
) -> None:
    job_id, other = workshop.create("one"), workshop.create("other")
    workshop.files.path(derived_id("file-", job_id, "fine-tune-results")).mkdir()
    with workshop.at_work():
        workshop.wait_for(job_id, "succeeded")
        assert results_of(workshop.wait_for(other, "succeeded"), workshop)


def test_a_database_that_fails_while_a_job_ends_is_tried_again_and_the_model_kept(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = workshop.create()
    faults = Faults()
    faults.errors = [LOCKED]
    monkeypatch.setattr(finish, "insert_model", faults.before(finish.insert_model))
    with workshop.at_work():
        eventually(lambda: faults.raised >= 3)
        assert workshop.jobs.show(job_id)["status"] == "running"
        faults.errors = []
        workshop.wait_for(job_id, "succeeded")
    assert workshop.trainings(job_id) == 1
    [warning] = workshop.warnings(job_id)  # once for the same reason
    assert "trained and kept" in warning
    assert "database is locked" in warning


def test_a_model_that_cannot_be_loaded_yet_lets_others_train_and_is_served_after_a_restart(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, other = workshop.create("held"), workshop.create("other")
    load = StubEngine.load

    def refuse_held(self: StubEngine, models: list[Model]) -> None:
        if any("held" in model.name for model in models):
            raise BROKEN
        load(self, models)

    with monkeypatch.context() as broken:
        broken.setattr(StubEngine, "load", refuse_held)
        with workshop.at_work():
            workshop.wait_for(other, "succeeded")
            assert workshop.jobs.show(held)["status"] == "running"
    with workshop.at_work():
        assert workshop.wait_for(held, "succeeded")["fine_tuned_model"]
    assert workshop.trainings(held) == 1


def test_a_held_up_model_can_be_cancelled(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = workshop.create()
    monkeypatch.setattr(StubEngine, "load", raising(BROKEN))
    with workshop.at_work() as moves:
        eventually(lambda: workshop.warnings(job_id))
        workshop.jobs.pause(job_id)
        workshop.jobs.resume(job_id)
        moves.wake()
        workshop.wait_for(job_id, "running")
        workshop.jobs.cancel(job_id)
    assert workshop.jobs.show(job_id)["status"] == "cancelled"


def test_an_adapter_that_is_not_there_fails_its_job(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = workshop.create()
    monkeypatch.setattr(StubEngine, "load", raising(FileNotFoundError(2, "no such file")))
    with workshop.at_work():
        eventually(lambda: workshop.jobs.show(job_id)["status"] == "failed")
    assert "could not be loaded" in workshop.jobs.show(job_id)["error"]["message"]


def test_a_full_disk_before_a_training_is_waited_out(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = workshop.create()
    faults = Faults()
    faults.errors = [FULL]
    monkeypatch.setattr(supervisor, "write_order", faults.before(supervisor.write_order))
    with workshop.at_work():
        eventually(lambda: faults.raised >= 2)
        assert "the disk is full" in workshop.warnings(job_id)[0]
        faults.errors = []
        workshop.wait_for(job_id, "succeeded")


def test_a_trainer_works_on_while_its_progress_cannot_be_noted(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELSERVER_STUB_DELAY_S", "0.1")
    job_id = workshop.create(n_epochs=5)
    faults = Faults()
    take = Progress._take
    monkeypatch.setattr(Progress, "_take", faults.before(take))
    faults.errors = [LOCKED]
    with workshop.at_work():
        eventually(lambda: faults.raised >= 3)
        assert workshop.jobs.show(job_id)["status"] == "running"
        faults.errors = []
        workshop.wait_for(job_id, "succeeded")
    assert workshop.trainings(job_id) == 1
    checkpoints = workshop.jobs.list_checkpoints(job_id, limit=100, after=None)["data"]
    assert [each["step_number"] for each in checkpoints] == [5, 4, 3, 2, 1]


def test_a_job_that_is_given_up_leaves_no_trainer_behind(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELSERVER_STUB_DELAY_S", "0.2")
    job_id = workshop.create(n_epochs=1000)
    signals: list[int] = []
    send = Trainer.send

    def note(self: Trainer, number: signal.Signals) -> None:
        signals.append(number)
        send(self, number)

    def break_down(self: Supervisor, *_: object) -> bool:
        if not (self._data_dir / "jobs" / job_id / "checkpoints").exists():
            return True
        raise ZeroDivisionError

    monkeypatch.setattr(Trainer, "send", note)
    monkeypatch.setattr(Supervisor, "_look", break_down)
    with workshop.at_work():
        eventually(lambda: workshop.jobs.show(job_id)["status"] == "failed")
        pid = int((workshop.data_dir / "jobs" / job_id / "trainer.pid").read_text())
        assert signals[0] == signal.SIGTERM
        assert signal.SIGKILL not in signals
        assert not is_alive(pid)


def test_a_database_that_does_not_answer_ends_no_thread(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = Faults()
    faults.errors = [LOCKED]
    monkeypatch.setattr(Supervisor, "_next", faults.before(Supervisor._next))
    monkeypatch.setattr(Finish, "write_owed_results", faults.before(Finish.write_owed_results))
    job_id = workshop.create()
    with workshop.at_work():
        eventually(lambda: faults.raised >= 5)
        faults.errors = []
        workshop.wait_for(job_id, "succeeded")


def raising(error: Exception) -> Callable[..., Any]:
    faults = Faults()
    faults.errors = [error]
    return faults.before(lambda: None)


def is_alive(pid: int) -> bool:
    """A zombie is not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_folder_among_the_files_keeps_no_server_from_starting(workshop: Workshop) -> None:
    """As lost+found lies there, where the folder is a volume of its own."""
    (workshop.data_dir / "files" / "lost+found").mkdir()
    (workshop.data_dir / "files" / "lost+found" / "saved").touch()
    (workshop.data_dir / "files" / "file-1.part").touch()
    Files(workshop.database, workshop.data_dir / "files")
    assert [path.name for path in (workshop.data_dir / "files").iterdir()] == ["lost+found"]


def test_who_is_to_stop_right_after_its_start_is_the_trainer_and_nobody_else(
    tmp_path: Path,
) -> None:
    """Its process id is not noted yet: the note is that of one that is long gone."""
    bystander, process = (subprocess.Popen(["sleep", "60"]) for _ in range(2))
    try:
        (tmp_path / "trainer.pid").write_text(str(bystander.pid))
        Trainer(tmp_path, process).send(signal.SIGTERM)
        assert process.wait(5) == -signal.SIGTERM
        assert bystander.poll() is None
    finally:
        for each in (bystander, process):
            each.kill()
            each.wait()
