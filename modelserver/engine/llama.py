"""llama.cpp answers, by xllamacpp: one process for each base model and the adapters on it.

Adapters are listed when llama.cpp loads, and each request says how much of each it wants. A new
adapter means a new process beside the old one: when it is ready new requests go there, and the
old one ends after its last answer. Nobody else notices.
"""

import contextlib
import importlib.util
import itertools
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from modelserver.bases import Base, name_of, resolve_base
from modelserver.catalog import Model
from modelserver.child import child_environment
from modelserver.embedding import MissingPackageError
from modelserver.engine import Emit, Kind
from modelserver.engine.tool_call import generate_call
from modelserver.engine.turns import Turns
from modelserver.errors import ApiError, BadRequestError, LoadingError, ModelNotFoundError

log = logging.getLogger(__name__)

MAX_ADAPTERS = 8  # loaded at a time; the one that was asked for longest ago makes room
_WAIT_S = 10.0  # for a model that is being loaded, before the client is told to come again


class LlamaEngine:
    """`slots` answers at a time for each base model, each of up to `context` tokens."""

    trainer_module = "modelserver.training"

    def __init__(self, sources: Sequence[str], data_dir: Path, *, slots: int, context: int) -> None:
        if importlib.util.find_spec("xllamacpp") is None:
            raise MissingPackageError(
                "answering needs the package xllamacpp: run `pip install 'nod[local]'` "
                "(or `make install`), or start with --engine stub"
            )
        self._sources = {name_of(source): source for source in sources}
        self._hosts = {
            name: _Host(resolve_base(source, data_dir), slots, context)
            for name, source in self._sources.items()
        }
        self.bases = tuple(self._sources)

    def base_source(self, base: str) -> str:
        return self._sources[base]

    def generate(self, kind: Kind, model: Model, request: dict[str, Any], emit: Emit) -> None:
        host = self._hosts[model.base]
        adapters = [model.adapter] if model.adapter else []
        with host.using(adapters) as process, process.turns.take(model.adapter):
            request = request | {"lora": process.scales(model.adapter)}
            if request.get("tool_choice") == "required":
                generate_call(partial(process.generate, kind), request, emit)
            else:
                process.generate(kind, request, emit)

    def is_loaded(self, model: Model) -> bool:
        return self._hosts[model.base].has([model.adapter] if model.adapter else [])

    def load(self, models: Sequence[Model]) -> None:
        for base, host in self._hosts.items():
            mine = [model for model in models if model.base == base]
            if mine:
                with host.using([model.adapter for model in mine if model.adapter]):
                    pass

    def unload(self, model: Model) -> None:
        if model.adapter is not None:
            self._hosts[model.base].drop(model.adapter)

    def close(self) -> None:
        for host in self._hosts.values():
            host.close()


class _Host:
    """The process that serves one base model now, and its succession."""

    def __init__(self, base: Base, slots: int, context: int) -> None:
        self._base = base
        self._slots = slots
        self._context = min(context, base.context_length)
        self._process: _Process | None = None
        self._loading = threading.Lock()  # held while a process starts
        self._state = threading.Lock()  # held for a moment

    @contextlib.contextmanager
    def using(self, adapters: Sequence[Path]) -> Iterator["_Process"]:
        """A process with these adapters, which stays until the block ends.

        Raises LoadingError when it takes long, ModelNotFoundError when files have gone.
        """
        process = self._enter(adapters) or self._start_and_enter(adapters)
        try:
            yield process
        finally:
            process.leave()

    def has(self, adapters: Sequence[Path]) -> bool:
        process = self._process
        return process is not None and not process.has_ended and process.has(adapters)

    def _enter(self, adapters: Sequence[Path]) -> "_Process | None":
        with self._state:
            if (process := self._process) is None or not self.has(adapters):
                return None
            process.enter()
            return process

    def _start_and_enter(self, adapters: Sequence[Path]) -> "_Process":
        if not self._loading.acquire(timeout=_WAIT_S):
            raise LoadingError("The model is being loaded. Try again in a second.")
        try:
            return self._enter(adapters) or self._succeed(adapters)
        finally:
            self._loading.release()

    def _succeed(self, adapters: Sequence[Path]) -> "_Process":
        for adapter in adapters:
            if not (adapter / "adapter.gguf").is_file():
                raise ModelNotFoundError(adapter.name)
        kept = self._process.by_use() if self._process else []
        others = [path for path in kept if path not in adapters and path.exists()]
        new = _Process(self._base, [*adapters, *others][:MAX_ADAPTERS], self._slots, self._context)
        new.enter()
        self._replace(new)
        return new

    def _replace(self, new: "_Process | None") -> None:
        with self._state:
            old, self._process = self._process, new
        if old is not None:
            old.retire()

    def drop(self, adapter: Path) -> None:
        """Frees a deleted adapter: the next request starts a process without it."""
        with self._loading:
            if self._process is not None and self._process.has([adapter]):
                others = [path for path in self._process.by_use() if path != adapter]
                self._replace(_Process(self._base, others, self._slots, self._context))

    def close(self) -> None:
        self._replace(None)


class _Process:
    """One llama.cpp. Starting it blocks until it is ready; it ends when retired and idle."""

    def __init__(self, base: Base, adapters: Sequence[Path], slots: int, context: int) -> None:
        self.has_ended = False
        self.turns = Turns()
        self._adapters = list(adapters)
        self._clock = itertools.count()
        self._used = dict.fromkeys(adapters, -1)
        self._users = 0
        self._is_retired = False
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._inboxes: dict[int, SimpleQueue[dict[str, Any]]] = {}
        self._connection, other = socket.socketpair()
        with other:
            self._child = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.llama_process", str(other.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
                start_new_session=True,  # Ctrl+C in our terminal: answers under way are finished
                env=child_environment(),
            )
        self._reader = self._connection.makefile("rb")
        self._send(
            model=str(base.gguf_path),
            adapters=[str(path / "adapter.gguf") for path in adapters],
            slots=slots,
            context=context,
            cores=os.cpu_count() or 1,
        )
        self._wait_until_ready(base.name)
        threading.Thread(target=self._receive, name="llama", daemon=True).start()

    def _wait_until_ready(self, name: str) -> None:
        line = self._reader.readline()
        answer = json.loads(line) if line else {"failed": "its process ended while it loaded"}
        if "failed" in answer:
            self._end()
            self._reap()
            raise ApiError(f"The model {name} could not be loaded: {answer['failed']}")
        log.info("%s loaded with %d adapters", name, len(self._adapters))

    def has(self, adapters: Sequence[Path]) -> bool:
        return all(path in self._used for path in adapters)

    def by_use(self) -> list[Path]:
        """Adapters, the one that was asked for last first."""
        return sorted(self._adapters, key=self._used.__getitem__, reverse=True)

    def scales(self, adapter: Path | None) -> list[dict[str, float]]:
        """For each adapter loaded, how much of it a request for this one gets."""
        if adapter is not None:
            self._used[adapter] = next(self._clock)
        return [
            {"id": index, "scale": float(path == adapter)}
            for index, path in enumerate(self._adapters)
        ]

    def generate(self, kind: Kind, request: dict[str, Any], emit: Emit) -> None:
        number, inbox = next(self._numbers), SimpleQueue[dict[str, Any]]()
        self._inboxes[number] = inbox
        try:
            self._send(id=number, kind=kind, request=request)
            while "chunk" in (message := inbox.get()):
                if emit(message["chunk"]):
                    self._send(id=number, stop=True)
            if "error" in message:
                raise _explain(message)
        finally:
            del self._inboxes[number]

    def _send(self, **message: Any) -> None:
        line = json.dumps(message).encode() + b"\n"
        try:
            with self._lock:
                self._connection.sendall(line)
        except OSError as error:
            raise LoadingError("The model's process ended. Try again in a second.") from error

    def _receive(self) -> None:
        """Hands each line to the request it belongs to; the last one to all that still wait."""
        with contextlib.suppress(OSError, ValueError):
            for line in self._reader:
                message = json.loads(line)
                if inbox := self._inboxes.get(message["id"]):
                    inbox.put(message)
        self.has_ended = True
        for inbox in list(self._inboxes.values()):
            inbox.put({"error": "The model's process ended while it answered.", "status": 503})
        self._reap()

    def enter(self) -> None:
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
        self._end_if_idle()

    def retire(self) -> None:
        """No more requests will come: it ends after those that it has."""
        self._is_retired = True
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        with self._lock:
            is_over = self._is_retired and self._users == 0
        if is_over:
            self._end()

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _reap(self) -> None:
        try:
            self._child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._connection.close()


def _explain(message: dict[str, Any]) -> ApiError:
    text, status = message["error"], message["status"]
    if status == 503:
        return LoadingError(f"{text} Try again in a second.")
    if status >= 500:
        log.error("llama.cpp: %s", text)
        return ApiError("The model failed; the server's log has the details.")
    is_too_long = "exceeds the available context size" in text
    return BadRequestError(
        f"{text[0].upper()}{text[1:]}."
        + (" Shorten the messages, or start the server with a larger --context." * is_too_long),
        param="messages" if is_too_long else None,
        code="context_length_exceeded" if is_too_long else None,
    )
