"""A real `nod` process on a data folder of its own, and a customer with a browser's manners."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import create_engine, text

from app.home import Holder, read_holder

ROOT = Path(__file__).resolve().parents[2]
NOD = [sys.executable, "-c", "from app.main import run; run()"]
PATIENCE_S = 250.0
"""Only a hang takes so long: the tests may share two cores with many others."""


def environment(home: Path, **settings: str) -> dict[str, str]:
    """Nothing of the developer's own settings, the stub engine, any free port."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NOD_")}
    ours = {"HOME": home, "MODEL_ENGINE": "stub", "PORT": "0", "SAMPLE": "0", **settings}
    return kept | {f"NOD_{key}": str(value) for key, value in ours.items()} | {"NO_COLOR": "1"}


def command(home: Path, *arguments: str, stdin: str = "", **settings: str) -> tuple[int, str, str]:
    """Run a command to its end: exit code, stdout, stderr."""
    done = subprocess.run(
        [*NOD, *arguments],
        env=environment(home, **settings),
        cwd=home.parent,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


class RunningNod:
    """`nod up` (or another role) as a process."""

    def __init__(self, home: Path, *arguments: str, **settings: str) -> None:
        self.home = home
        self.log = home.parent / f"{home.name}-{uuid.uuid4().hex[:6]}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*NOD, *(arguments or ("up",))],
                env=environment(home, **settings),
                cwd=home.parent,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        return self.log.read_text()

    def wait_until_up(self) -> str:
        """Its URL, once it answers there."""
        holder: Holder | None = None
        for _ in patiently():
            assert self.process.poll() is None, self.output
            holder = read_holder(self.home)
            if holder is not None and holder.web_url is not None and self._is_well(holder.web_url):
                return holder.web_url
        raise AssertionError(f"it did not come up:\n{self.output}")

    def _is_well(self, url: str) -> bool:
        with suppress(httpx2.HTTPError):
            return httpx2.get(f"{url}/health", timeout=30).status_code == 200
        return False

    def wait_for_models(self, url: str) -> None:
        for _ in patiently():
            if httpx2.get(f"{url}/health", timeout=30).json()["models"] == "ready":
                return

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        self.process.kill()
        self.process.wait()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@contextmanager
def running(home: Path, *arguments: str, **settings: str) -> Iterator[RunningNod]:
    nod = RunningNod(home, *arguments, **settings)
    try:
        yield nod
    finally:
        nod.kill()


class Customer:
    """Somebody on the web page: a cookie, messages, and the stream of events."""

    def __init__(self, url: str) -> None:
        self.client = httpx2.Client(base_url=url, timeout=PATIENCE_S)
        self.client.get("/").raise_for_status()

    def move(self, url: str) -> None:
        """The same browser, after a restart on another port."""
        self.client.base_url = httpx2.URL(url)

    def say(self, words: str, message_id: str | None = None) -> str:
        message_id = message_id or uuid.uuid4().hex
        body = {"id": message_id, "text": words}
        self.client.post("/chat/messages", json=body).raise_for_status()
        return message_id

    def turns(self) -> list[dict[str, Any]]:
        """The conversation as a page that is opened now shows it."""
        turns: list[dict[str, Any]] = []
        with self.client.stream("GET", "/chat/events") as response:
            name = ""
            for line in response.iter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: ") and name == "turn":
                    turns.append(json.loads(line.removeprefix("data: ")))
                elif line.startswith("data: ") and name == "sign":
                    return turns  # the turns that exist come before the sign
        return turns

    def wait_for_replies(self, count: int) -> list[str]:
        for _ in patiently():
            replies = [turn["text"] for turn in self.turns() if turn["role"] == "bot"]
            if len(replies) >= count:
                return replies
        raise AssertionError(f"{count} replies did not come: {self.turns()}")


def patiently(every_s: float = 0.1) -> Iterator[None]:
    """Tries until something holds, or fails."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        yield
        time.sleep(every_s)
    raise AssertionError(f"it did not happen within {PATIENCE_S:.0f} s")


def query(home: Path, statement: str) -> list[Any]:
    """What the database says, without the program."""
    engine = create_engine(f"sqlite:///{home / 'nod.db'}")
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]
    finally:
        engine.dispose()
