"""The `openai` package of 2023 with its command line, in a virtual environment of its own.

It is made once and kept in the user's cache folder; where it can't be made, tests are skipped.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

VERSION = "0.28.1"
SCRIPTS = Path(__file__).parent / "scripts_of_2023"
_REQUIREMENT = f"openai[datalib]=={VERSION}"
_INSTALL_S = 240


@dataclass(frozen=True)
class Client:
    """Somebody at a terminal in `folder`, with the two variables that the client reads."""

    bin: Path
    url: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI_")}
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        return kept | {"OPENAI_API_BASE": self.url, "OPENAI_API_KEY": "sk-any", "PATH": path}

    def run(self, *command: str, fails: bool = False) -> str:
        """What a command or script printed, both streams together."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert bool(done.returncode) == fails, done.stdout
        return done.stdout

    def api(self, command: str, *options: str, fails: bool = False) -> str:
        """`openai api COMMAND ...`"""
        return self.run("openai", "api", command, *options, fails=fails)

    def show(self, command: str, *options: str) -> Any:
        """The JSON that a command printed."""
        return json.loads(self.api(command, *options))

    def script(self, name: str, *arguments: str) -> str:
        return self.run("python", str(SCRIPTS / name), *arguments)

    def start(self, command: str, *options: str) -> subprocess.Popen[str]:
        """A command that somebody may interrupt."""
        return subprocess.Popen(
            ["openai", "api", command, *options],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )


def find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found, text
    return found[1]


def install() -> Path:
    """The `bin` folder. Skips the test that asks where the package can't be had."""
    folder = _cache() / f"openai-{VERSION}-py{sys.version_info.major}.{sys.version_info.minor}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "is_complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _make(folder)
            (folder / "is_complete").touch()
    return folder / "bin"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nod-tests"


def _make(folder: Path) -> None:
    for command in _commands(folder):
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_INSTALL_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"{_REQUIREMENT} can't be installed: {error}")
        if done.returncode:
            reason = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2]
            pytest.skip(f"{_REQUIREMENT} can't be installed: {reason}")


def _commands(folder: Path) -> Sequence[list[str]]:
    python = str(folder / "bin" / "python")
    if uv := shutil.which("uv"):
        return (
            [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--quiet", "--python", python, _REQUIREMENT],
        )
    return (
        [sys.executable, "-m", "venv", str(folder)],
        [python, "-m", "pip", "install", "--quiet", _REQUIREMENT],
    )
