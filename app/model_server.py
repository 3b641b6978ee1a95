"""The model server as our child: started, watched, started again, and gone when we are."""

import asyncio
import os
import random
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog

from app.settings import (
    LOCAL_EMBEDDING_MODEL,
    STUB_EMBEDDING_MODEL,
    Settings,
)

STOP_S = 10.0
HEALTHY_S = 60.0
"""After so long alive, a death is a fresh one: the back-off starts anew."""
MAX_BACK_OFF_S = 30.0
MAX_LOG_BYTES = 5_000_000
PORTS = range(20_000, 32_000)
"""Below what systems hand out to outgoing connections, so that ours is there at a restart."""

log = structlog.get_logger(__name__)


class ModelServerError(RuntimeError):
    """The model server did not start; the message has its last words."""


class ModelServer:
    """`base_url` is known before it answers, and stays the same over restarts."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log_path = settings.home / "modelserver.log"
        self._port = _free_port()
        self._is_ready = asyncio.Event()
        self._last_words = ""
        self._has_failed = asyncio.Event()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def is_ready(self) -> bool:
        """Whether it answers, as far as we know."""
        return self._is_ready.is_set()

    async def wait_until_ready(self, timeout_s: float = 120.0) -> None:
        """For commands that are of no use without it.

        Raises:
            ModelServerError: it ended, or said nothing for so long.
        """
        ready, failed = (
            asyncio.ensure_future(event.wait()) for event in (self._is_ready, self._has_failed)
        )
        try:
            await asyncio.wait(
                (ready, failed), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            ready.cancel()
            failed.cancel()
        if not self.is_ready:
            raise ModelServerError(
                f"the model server did not start: {self._last_words or 'it says nothing'} "
                f"(see {self._log_path}; `nod doctor` may know why)"
            )

    async def run(self) -> None:
        """Keep it running until cancelled; then stop it, within STOP_S."""
        back_off_s = 1.0
        while True:
            started_at = asyncio.get_running_loop().time()
            async with self._start() as process:
                await self._follow(process)
            self._is_ready.clear()
            self._last_words = _last_line(self._log_path)
            self._has_failed.set()
            if asyncio.get_running_loop().time() - started_at > HEALTHY_S:
                back_off_s = 1.0
            log.error("model_server_ended", code=process.returncode, said=self._last_words)
            await asyncio.sleep(back_off_s * random.uniform(0.8, 1.2))
            back_off_s = min(2 * back_off_s, MAX_BACK_OFF_S)

    @asynccontextmanager
    async def _start(self) -> AsyncIterator[Process]:
        if self._log_path.exists() and self._log_path.stat().st_size > MAX_LOG_BYTES:
            self._log_path.replace(self._log_path.with_suffix(".log.1"))
        with self._log_path.open("ab") as log_file:
            process = await asyncio.create_subprocess_exec(
                *self._command(),
                stdin=asyncio.subprocess.PIPE,  # the leash: see app.leash
                stdout=asyncio.subprocess.PIPE,
                stderr=log_file,
                start_new_session=True,  # Ctrl+C is for us; we tell it
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        try:
            yield process
        finally:
            await _stop(process)

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "app.leash", "modelserver"]
        command += ["--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--data", str(self._settings.home / "models")]
        command += ["--engine", self._settings.model_engine]
        if self._settings.model_engine == "stub":
            command += ["--alias", f"{STUB_EMBEDDING_MODEL}={LOCAL_EMBEDDING_MODEL}"]
        for base in self._settings.base_models:
            command += ["--base", base]
        return command

    async def _follow(self, process: Process) -> None:
        """Until it ends; its first line says that it answers."""
        assert process.stdout is not None
        async for line in process.stdout:
            if b"listening on" in line and not self.is_ready:
                self._is_ready.set()
                self._has_failed.clear()
                log.info("model_server_answers", base_url=self.base_url)
        await process.wait()


async def _stop(process: Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:  # nothing of its own is lost: a trainer goes on, and is found again
        process.kill()
        await process.wait()


def _free_port() -> int:
    for port in random.sample(PORTS, 50):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ModelServerError(f"no port from {PORTS.start} to {PORTS.stop} is free on 127.0.0.1")


def _last_line(path: Path) -> str:
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:500] if lines else ""
    return ""
