"""The command: what it refuses to start with, and how it says so."""

import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.modelserver_process import ROOT, running_modelserver


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "modelserver", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )


def test_help_teaches() -> None:
    shown = run("--help").stdout
    assert "OPENAI_BASE_URL=" in shown
    assert "--alias NAME=MODEL" in shown


def test_it_is_open_to_others_only_with_a_key(tmp_path: Path) -> None:
    refused = run("--data", str(tmp_path), "--engine", "stub", "--host", "0.0.0.0", "--port", "0")
    assert refused.returncode == 2
    assert "--api-key" in refused.stderr


def test_two_servers_never_share_a_folder(tmp_path: Path) -> None:
    with running_modelserver(tmp_path):
        refused = run("--data", str(tmp_path), "--engine", "stub", "--port", "0")
    assert refused.returncode == 2
    assert "another server" in refused.stderr


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = run("--data", str(tmp_path), "--engine", "stub", "--port", str(port))
    assert refused.returncode == 2
    assert str(port) in refused.stderr


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "modelserver.sqlite3") as database:
        database.execute("PRAGMA user_version = 99")
    refused = run("--data", str(tmp_path), "--engine", "stub", "--port", "0")
    assert refused.returncode == 2
    assert "newer version" in refused.stderr


def test_an_alias_never_hides_a_model(tmp_path: Path) -> None:
    alias = "smollm2-135m-instruct=multilingual-e5-small"
    refused = run("--data", str(tmp_path), "--engine", "stub", "--alias", alias)
    assert refused.returncode == 2
    assert "is a model already" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve",), "no command 'serve'; there are keys, export, import"),
        (("--data", "{file}"), "{file} cannot be made or written"),
        (("--data", "{folder}", "--engine", "stub", "--port", "99999"), "99999 is not a port"),
        (("--data", "{junk}", "--engine", "stub", "--port", "0"), "choose another --data"),
        (("keys", "list", "--data", "{folder}/nowhere"), "no server has worked there"),
        (("keys", "add", "me", "--data", "{file}"), "{file} cannot be made or written"),
        (("keys", "list", "--data", "{junk}"), "choose another --data"),
    ],
)
def test_what_cannot_be_done_is_named_without_a_traceback(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    places = {name: tmp_path / name for name in ("file", "folder", "junk")}
    places["file"].touch()
    places["junk"].mkdir()
    (places["junk"] / "modelserver.sqlite3").write_text("no database, but a list" * 9)
    refused = run(*(each.format(**places) for each in arguments))
    assert refused.returncode == 2
    assert said.format(**places) in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "folder" / "nowhere").exists()


def test_ctrl_c_ends_it_without_a_traceback(tmp_path: Path) -> None:
    arguments = ("--data", str(tmp_path), "--engine", "stub", "--port", "0")
    with subprocess.Popen(
        [sys.executable, "-m", "modelserver", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as server:
        assert server.stdout is not None
        assert "listening" in server.stdout.readline()
        server.send_signal(signal.SIGINT)
        _, written = server.communicate(timeout=60)
    assert server.returncode == 130
    assert "Traceback" not in written


def test_the_data_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "models"
    assert run("keys", "add", "me", "--data", str(folder)).returncode == 0
    assert folder.stat().st_mode & 0o777 == 0o700
    folder = tmp_path / "served"
    assert run("--data", str(folder), "--engine", "stub", "--host", "0.0.0.0").returncode == 2
    assert folder.stat().st_mode & 0o777 == 0o700
