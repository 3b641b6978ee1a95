"""The data folder: one owner, one process."""

import multiprocessing
import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

from app.home import (
    HomeBusyError,
    HomeError,
    hold_home,
    prepare_home,
    read_holder,
    refuse_stranger,
)
from app.listen import PortError, listen
from app.settings import Settings


def _settings(home: Path, **changes: object) -> Settings:
    return Settings(home=home, **changes)  # type: ignore[arg-type]


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    assert prepare_home(tmp_path / "deep" / "nod")
    assert (tmp_path / "deep" / "nod").stat().st_mode & 0o777 == 0o700


def test_a_folder_in_use_is_not_new(tmp_path: Path) -> None:
    (tmp_path / "nod.db").touch()
    assert not prepare_home(tmp_path)


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "nod").touch()
    with pytest.raises(HomeError, match=r"nod cannot be made .* NOD_HOME"):
        prepare_home(tmp_path / "nod")


def test_an_empty_folder_made_by_hand_is_closed_to_others(tmp_path: Path) -> None:
    (tmp_path / "nod").mkdir(mode=0o755)
    assert prepare_home(tmp_path / "nod")
    assert (tmp_path / "nod").stat().st_mode & 0o777 == 0o700


def test_another_programs_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.odt").touch()
    with (
        pytest.raises(HomeError, match=r"holds thesis.odt .* NOD_HOME to an empty folder"),
        hold_home(_settings(tmp_path), "up"),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.odt"]


@pytest.mark.parametrize("name", ["nod.db", "documents", "lost+found", ".bashrc", "prices.toml"])
def test_a_folder_with_what_may_lie_there_is_taken(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    refuse_stranger(tmp_path)


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    settings = _settings(tmp_path, port=1234)
    with (
        hold_home(settings, "up", model_base_url="http://127.0.0.1:1/v1"),
        pytest.raises(HomeBusyError, match=rf"`nod up` .* process {os.getpid()} .*:1234/console"),
        hold_home(settings, "worker"),
    ):
        pass


def test_who_starts_it_a_second_time_is_told_where_the_first_one_answers(tmp_path: Path) -> None:
    with closing(listen(_settings(tmp_path, port=0))) as taken:
        settings = _settings(tmp_path, port=taken.getsockname()[1])
        with hold_home(settings, "up"), pytest.raises(PortError, match=r"`nod up` works .* Open"):
            listen(settings)
        with pytest.raises(PortError, match="set NOD_HOST and NOD_PORT, or stop the program"):
            listen(settings)


def test_who_looks_for_the_holder_finds_where_it_answers(tmp_path: Path) -> None:
    assert read_holder(tmp_path) is None
    with hold_home(_settings(tmp_path), "up", model_base_url="http://127.0.0.1:1/v1"):
        holder = read_holder(tmp_path)
        assert holder is not None
        assert (holder.pid, holder.model_base_url) == (os.getpid(), "http://127.0.0.1:1/v1")
    assert read_holder(tmp_path) is None


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    process = context.Process(target=_hold_for_ever, args=(tmp_path, held))
    process.start()
    assert held.wait(30)
    with pytest.raises(HomeBusyError), hold_home(settings, "up"):
        pass
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert read_holder(tmp_path) is None
    with hold_home(settings, "up"):
        pass


def test_processes_that_share_servers_share_the_folder_too(tmp_path: Path) -> None:
    settings = _settings(
        tmp_path, chroma_url="http://chroma:8000", model_base_url="http://models:8000/v1"
    )
    with hold_home(settings, "web"), hold_home(settings, "worker"):
        pass


def _hold_for_ever(home: Path, held: "multiprocessing.synchronize.Event") -> None:
    with hold_home(_settings(home), "up"):
        held.set()
        signal.pause()
