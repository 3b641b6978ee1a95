"""Nod and a model server with the stub engine, running as they ship, each in its process."""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2

from app.sample import DOCUMENTS
from bench.rig.model_server import run_model_server
from bench.rig.ports import free_port
from store import Database
from store.switches import set_switch

START_S = 300.0
STOP_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Stages:
    """One message inside Nod; HTTP before and events after are not in it."""

    around_ms: float
    """From the stored turn to the stored reply, less the answer: hand-over and reading."""
    delivery_ms: float
    """From the stored reply to its delivery."""


@dataclass(frozen=True, kw_only=True)
class Programs:
    """Nod and a model server, running."""

    nod_url: str
    model_url: str
    home: Path
    nod_pid: int

    def cpu_s(self) -> float:
        """Processor time that Nod has used: what a busy machine falsifies least."""
        fields = Path(f"/proc/{self.nod_pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])  # user and system; see proc(5)
        return ticks / os.sysconf("SC_CLK_TCK")

    async def switch(self, mode: str) -> None:
        database = Database(f"sqlite+aiosqlite:///{self.home / 'nod.db'}")
        async with database.write() as session:
            await set_switch(session, "mode", mode, who="bench")
        await database.close()

    def last_reply(self) -> int:
        return int(self._select("select coalesce(max(id), 0) from reply")[0][0])

    def prompts(self, since: int) -> list[Any]:
        """What Nod asked the model for the replies after this one."""
        rows = self._select("select prompt from reply where id > ? order by id", since)
        return [json.loads(prompt) for (prompt,) in rows]

    def stages(self, since: int) -> list[Stages]:
        """Where the time of the replies after this one went, by Nod's own clock."""
        rows = self._select(
            """
            select turn.created_at, reply.created_at, reply.sent_at, reply.total_ms
            from reply join turn on turn.id = reply.turn_id
            where reply.id > ? and reply.sent_at is not null and reply.total_ms is not null
            """,
            since,
        )
        return [
            Stages(
                around_ms=_ms_between(asked, stored) - answer_ms,
                delivery_ms=_ms_between(stored, sent),
            )
            for asked, stored, sent, answer_ms in rows
        ]

    def has_sample(self) -> bool:
        """Whether every chunk of the sample's documents is in the index."""
        read = self._select("select count(*) from document where kind = 'file'")[0][0]
        to_index = self._select("select count(*) from chunk where indexed_at is null")[0][0]
        return bool(read >= len(list(DOCUMENTS.glob("*.md"))) and to_index == 0)

    def _select(self, statement: str, *values: object) -> list[Any]:
        with closing(sqlite3.connect(self.home / "nod.db", timeout=15)) as connection:
            return connection.execute(statement, values).fetchall()


def _ms_between(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() * 1000


@contextmanager
def run_programs(*, delay_s: float) -> Iterator[Programs]:
    """Both programs on a new data folder with the sample shop."""
    with tempfile.TemporaryDirectory(prefix="nod-bench-") as folder:
        home, port = Path(folder) / "nod", free_port()
        # So many slots that no request waits for one.
        patient = ("--stub-delay-s", str(delay_s), "--slots", "64", "--queue", "256")
        with (
            run_model_server(Path(folder) / "models", "stub", *patient) as model_url,
            _nod(home, port, model_url) as (nod_url, nod_pid),
        ):
            programs = Programs(nod_url=nod_url, model_url=model_url, home=home, nod_pid=nod_pid)
            _wait_for("the sample shop", programs.has_sample)
            yield programs


@contextmanager
def _nod(home: Path, port: int, model_url: str) -> Iterator[tuple[str, int]]:
    settings = {
        "NOD_HOME": str(home),
        "NOD_PORT": str(port),
        "NOD_MODEL_BASE_URL": model_url,
        "NOD_LOG_LEVEL": "warning",
    }
    url = f"http://127.0.0.1:{port}"
    with _process([str(Path(sys.executable).parent / "nod"), "up"], settings) as process:
        _wait_for("nod up", lambda: _answers(url, process))
        yield url, process.pid


@contextmanager
def _process(command: list[str], settings: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("NOD_")}
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, env=inherited | settings, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        try:
            yield process
        except BaseException:
            errors.seek(0)
            print(errors.read()[-4000:], file=sys.stderr)
            raise
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _answers(url: str, process: subprocess.Popen[str]) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"`nod up` ended with code {process.returncode}")
    try:
        return httpx2.get(url, timeout=5).status_code == 200
    except httpx2.HTTPError:
        return False


def _wait_for(what: str, is_there: Callable[[], bool]) -> None:
    until = time.monotonic() + START_S
    while not is_there():
        if time.monotonic() > until:
            raise TimeoutError(f"{what} was not there after {START_S:g} s")
        time.sleep(0.2)
