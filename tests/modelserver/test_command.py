"""The command: what it refuses to start with, and how it says so."""

import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

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
