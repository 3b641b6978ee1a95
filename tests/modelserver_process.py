"""Real model servers for tests: processes of their own, on free ports, by default without weights.

def test_it(modelserver_url: str) -> None:            # one server for the whole session
with running_modelserver(tmp_path, "--stub-delay-s", "0.05") as server:     # one's own
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class ModelServer:
    """`url` ends in /v1 and is what the `openai` client takes as its base URL."""

    url: str
    process: subprocess.Popen[str]

    def kill(self) -> None:
        """As the system does it when memory runs out: no time for last words."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def start_modelserver(
    data_dir: Path,
    *arguments: str,
    engine: str = "stub",
    port: int = 0,
    environment: Mapping[str, str] | None = None,
) -> ModelServer:
    """Returns once it listens. Its log is DATA_DIR/server.log."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "server.log").open("ab") as log:
        process = subprocess.Popen(
            _command(data_dir, engine, port, arguments),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | dict(environment or {}),
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.fullmatch(r"modelserver listening on (http://\S+/v1)\n", line)
    if found is None:
        process.kill()
        raise AssertionError(f"{line!r}, {(data_dir / 'server.log').read_text()[-2000:]}")
    return ModelServer(found[1], process)


@contextmanager
def running_modelserver(
    data_dir: Path,
    *arguments: str,
    engine: str = "stub",
    port: int = 0,
    environment: Mapping[str, str] | None = None,
) -> Iterator[ModelServer]:
    """Ends the server however the block ends."""
    server = start_modelserver(
        data_dir, *arguments, engine=engine, port=port, environment=environment
    )
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture(scope="session")
def modelserver_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the stub engine that all tests of a session share."""
    with running_modelserver(tmp_path_factory.mktemp("modelserver")) as server:
        yield server.url


def _command(data_dir: Path, engine: str, port: int, arguments: Sequence[str]) -> list[str]:
    options = ["--data", str(data_dir), "--engine", engine, "--port", str(port), *arguments]
    return [sys.executable, "-m", "modelserver", *options]
