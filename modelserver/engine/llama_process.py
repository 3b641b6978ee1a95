"""llama.cpp in a process of its own: `python -m modelserver.engine.llama_process FD`.

Loading a model holds Python's global lock for as long as it takes, and an assertion that fails
in llama.cpp ends the process it runs in. Neither must be felt by those who talk to the server.

Both sides write JSON lines to the socket FD:
    to us      {"model", "adapters", "slots", "context", "cores"}, once
               {"id", "kind", "request"}, then perhaps {"id", "stop": true}
    from us    {"ready": true} or {"failed": reason}, once
               {"id", "chunk"}*, then {"id", "end": true} or {"id", "error", "status"}
The process ends when the other side closes the socket.
"""

import json
import os
import secrets
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any


class _Channel:
    """Lines in both directions; writing is safe from several threads."""

    def __init__(self, descriptor: int) -> None:
        connection = socket.socket(fileno=descriptor)
        self._reader = connection.makefile("rb")
        self._writer = connection.makefile("wb", buffering=0)
        self._lock = threading.Lock()

    def read(self) -> dict[str, Any] | None:
        try:
            line = self._reader.readline()
        except ConnectionError:
            return None
        return json.loads(line) if line.endswith(b"\n") else None

    def write(self, **message: Any) -> None:
        line = json.dumps(message).encode() + b"\n"
        with self._lock:
            self._writer.write(line)


def main() -> None:
    channel = _Channel(int(sys.argv[1]))
    order = channel.read()
    if order is None:
        return
    try:
        server = load_server(order)
    except RuntimeError:
        channel.write(failed="llama.cpp can't load it; the lines before this one say why")
        return
    channel.write(ready=True)
    _serve(server, channel, order)


def load_server(order: dict[str, Any]) -> Any:
    """llama.cpp with the model that the first line names. Raises RuntimeError."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = order["model"]
    params.n_parallel = order["slots"]
    params.n_ctx = order["context"] * order["slots"]
    cores = order["cores"]
    # All cores read prompts, and the tokens of several answers at once. For a single answer one is
    # left to others where there are more than two.
    params.cpuparams_batch.n_threads = cores
    params.cpuparams.n_threads = cores if cores <= 2 else cores - 1
    params.lora_adapters = [_list_adapter(path) for path in order["adapters"]]
    params.cache_ram_mib = 0  # one slot's memory of prompts each; gigabytes are not worth it
    params.verbosity = 1  # errors; more would write prompts to the log
    # It listens on a port of its own, which nobody shall use: we call its methods.
    params.api_keys = [secrets.token_hex(32)]
    return xllamacpp.Server(params)


def _list_adapter(path: str) -> Any:
    import xllamacpp

    adapter = xllamacpp.CommonAdapterLoraInfo()
    adapter.path = path
    adapter.scale = 0.0  # every request says itself which adapter it wants
    return adapter


def _serve(server: Any, channel: _Channel, order: dict[str, Any]) -> None:
    stopped: dict[int, threading.Event] = {}
    with ThreadPoolExecutor(order["slots"]) as threads:
        while (message := channel.read()) is not None:
            number = message["id"]
            if message.get("stop"):
                if number in stopped:
                    stopped[number].set()
                continue
            stopped[number] = threading.Event()
            threads.submit(_answer, server, channel, message, stopped, order["model"])
        os._exit(0)  # nobody listens any more: what is being answered needs no end


def _answer(
    server: Any,
    channel: _Channel,
    message: dict[str, Any],
    stopped: dict[int, threading.Event],
    model: str,
) -> None:
    number, is_stopped = message["id"], stopped[message["id"]]
    handle = server.handle_chat_completions
    if message["kind"] == "completion":
        handle = server.handle_completions
    complaints: list[dict[str, Any]] = []

    def take(chunk: dict[str, Any] | None) -> bool:
        if chunk and "error" in chunk:
            complaints.append(chunk["error"])
        elif chunk:
            channel.write(id=number, chunk=chunk)
        return is_stopped.is_set() or bool(complaints)

    try:
        if message["request"].get("prompt") == "":
            message["request"]["prompt"] = _start_of_text(model)
        handle(message["request"], take)
    except ValueError as error:
        complaints.append({"message": str(error), "code": 400})
    except Exception as error:
        complaints.append({"message": str(error), "code": 500})
    del stopped[number]
    for complaint in complaints[:1]:
        channel.write(id=number, error=complaint["message"], status=complaint.get("code", 500))
        return
    channel.write(id=number, end=True)


@cache
def _start_of_text(model: str) -> str:
    """Stands for an empty prompt, which llama.cpp answers with nothing; training puts it there too.

    A model that begins each prompt with a token of its own needs none.
    """
    from modelserver.gguf_file import GgufReader

    reader = GgufReader(model)  # takes seconds, and is seldom needed
    prefix = "tokenizer.ggml."
    number = reader.value(prefix + "bos_token_id", reader.value(prefix + "eos_token_id"))
    if reader.value(prefix + "add_bos_token") or number is None:
        return "" if number is not None else "\n"
    field = reader.fields[prefix + "tokens"]
    return bytes(field.parts[field.data[number]]).decode()


if __name__ == "__main__":
    main()
