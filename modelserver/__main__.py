"""`python -m modelserver`: OpenAI's API on this machine."""

import argparse
import importlib
import logging
import os
import socket
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from modelserver.child import WAITING

os.environ.update({**WAITING, **os.environ})  # for the embeddings, which are made in this process

_BUILT_IN = "smollm2-135m-instruct"
_INTERRUPTED = 130
_KEYS = "MODELSERVER_API_KEYS"
_SECRET = "MODELSERVER_WEBHOOK_SECRET"
_COMMANDS = {  # each a module of modelserver.commands
    "keys": "keys",
    "export": "export_model",
    "import": "import_adapter",
}

_EXAMPLES = """
examples:
  python -m modelserver --data ~/models
      the built-in SmolLM2-135M-Instruct and multilingual-e5-small on http://127.0.0.1:8100/v1
  python -m modelserver --data ~/models --base ~/Downloads/qwen2.5-0.5b-instruct-q8_0.gguf
      another base model: a Hugging Face id, a folder with safetensors, or a GGUF file
  python -m modelserver --data ~/models --alias gpt-3.5-turbo=smollm2-135m-instruct
      for programs that ask for a model by another name
  python -m modelserver keys add laptop --data /srv/models
  python -m modelserver --data /srv/models --host 0.0.0.0
      for others on the network, with a key (`keys --help` says more)
  python -m modelserver export ft:smollm2-135m-instruct:nod::3hT0aXq9 --to out --data ~/models
      a tuned model's adapter for PEFT or vLLM; with --merged whole weights
  python -m modelserver import saves/qwen-lora --base Qwen/Qwen2.5-0.5B-Instruct --data ~/models
      an adapter trained elsewhere: LLaMA-Factory, XTuner, LMFlow, Unsloth, TRL

point a program at it:
  OPENAI_BASE_URL=http://127.0.0.1:8100/v1 OPENAI_API_KEY=none python your_program.py
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m modelserver",
        description="OpenAI's API (chat, embeddings, files, fine-tuning) on this machine.\n"
        f"Other commands: {', '.join(_COMMANDS)} (COMMAND --help says more).",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="folder for all that is kept")
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=_port, default=8100, help="0 takes a free one (default: %(default)s)")
    add(
        "--base", action="append", metavar="NAME_OR_PATH", help=f"base model (default: {_BUILT_IN})"
    )
    add("--alias", action="append", default=[], metavar="NAME=MODEL", help="another name")
    add("--engine", choices=("llama", "stub"), default="llama", help="stub: no weights, for tests")
    add(
        "--api-key",
        action="append",
        default=[],
        metavar="KEY",
        help=f"for this start only; or {_KEYS}=KEY,KEY. Better: `keys add`, which keeps hashes",
    )
    add(
        "--requests-per-minute",
        type=_count,
        default=0,
        metavar="N",
        help="of each key; beyond it 429 (default: no limit)",
    )
    add("--webhook-url", metavar="URL", help=f"told when a job ends, signed with {_SECRET}")
    add("--slots", type=_positive, default=4, help="answers at a time (default: %(default)s)")
    add("--queue", type=_count, default=64, help="requests that may wait (default: %(default)s)")
    add(
        "--context",
        type=_positive,
        default=4096,
        help="tokens of one request (default: %(default)s)",
    )
    add(
        "--max-file-mb",
        type=_positive,
        default=512,
        help="largest upload (default: %(default)s)",
    )
    add(
        "--train-precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="of the base in training; auto: bfloat16 where the hardware is fast at it",
    )
    add(
        "--train-patience",
        type=_count,
        default=0,
        metavar="N",
        help="stop after N epochs without a lower validation loss, keep the best (default: off)",
    )
    add(
        "--train-processes",
        type=_positive,
        default=1,
        metavar="N",
        help="one for each GPU, by accelerate (default: %(default)s)",
    )
    add("--stub-delay-s", type=float, default=0, help="stub: wait before each token and step")
    add("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        return _main(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _main(given: Sequence[str]) -> int:
    if given and given[0] in _COMMANDS:
        command = importlib.import_module(f"modelserver.commands.{_COMMANDS[given[0]]}")
        return int(command.main(given[1:]))
    if given and not given[0].startswith("-"):
        return _refuse(
            f"there is no command {given[0]!r}; there are {', '.join(_COMMANDS)}, "
            f"and without one it serves: python -m modelserver --data DIR"
        )
    options = _parser().parse_args(given)
    logging.basicConfig(
        level=options.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it writes whole URLs, secrets included
    logging.getLogger("gguf").setLevel(logging.WARNING)  # it names each step of writing a file
    keys = [*options.api_key, *filter(None, os.environ.get(_KEYS, "").split(","))]
    return serve(options, keys)


def serve(options: argparse.Namespace, keys: Sequence[str]) -> int:
    """Serves until it is told to stop. Returns the exit code."""
    from filelock import FileLock, Timeout

    lock = FileLock(options.data / "modelserver.lock")
    try:
        options.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        return _refuse(f"another server works on {options.data}: stop it, or choose another --data")
    except OSError as error:
        return _refuse(
            f"--data {options.data} cannot be made or written ({error.strerror}): choose another"
        )
    with lock:
        return _serve(options, keys)


def _serve(options: argparse.Namespace, keys: Sequence[str]) -> int:
    from modelserver.app import Settings, make_app
    from modelserver.loopback import is_loopback
    from modelserver.server import Server
    from modelserver.trainer import TrainingSettings

    # Uploads on their way lie where they will stay: /tmp may be small, or memory.
    tempfile.tempdir = str(options.data.resolve())
    os.environ["MODELSERVER_STUB_DELAY_S"] = str(options.stub_delay_s)
    try:
        app = make_app(
            Settings(
                data_dir=options.data,
                bases=options.base or [_BUILT_IN],
                engine=options.engine,
                aliases=dict(map(_split_alias, options.alias)),
                api_keys=keys,
                is_private=is_loopback(options.host),
                requests_per_minute=options.requests_per_minute,
                webhook_url=options.webhook_url,
                webhook_secret=os.environ.get(_SECRET, ""),
                slots=options.slots,
                queue=options.queue,
                context=options.context,
                max_file_mb=options.max_file_mb,
                stub_delay_s=options.stub_delay_s,
                training=TrainingSettings(
                    precision=options.train_precision,
                    patience=options.train_patience,
                    processes=options.train_processes,
                ),
            )
        )
        listener = _listen(options.host, options.port)
    except ImportError as error:
        return _refuse(f"{error}: run `pip install 'nod[local]'`, or start with --engine stub")
    except (ValueError, OSError, RuntimeError) as error:
        return _refuse(str(error))
    except sqlite3.DatabaseError as error:
        return _refuse(
            f"{options.data}/modelserver.sqlite3 cannot be read ({error}): restore it from a "
            f"backup, or choose another --data"
        )
    Server(app).run(sockets=[listener])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only where the protocol is named does asyncio switch off the wait for full packets, which
    # would hold back every first token for 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise OSError(
            f"can't listen on {host}:{port} ({error.strerror}): choose another --port, or 0"
        ) from error
    return listener


def _split_alias(alias: str) -> tuple[str, str]:
    name, equals, model = alias.partition("=")
    if not (name and equals and model):
        raise ValueError(f"--alias {alias}: write it as NAME=MODEL")
    return name, model


def _count(text: str) -> int:
    number = int(text) if text.isdecimal() else -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return number


def _port(text: str) -> int:
    if _count(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port: 0 to 65535")
    return int(text)


def _positive(text: str) -> int:
    if _count(text) == 0:
        raise argparse.ArgumentTypeError("at least 1 is needed")
    return int(text)


def _refuse(reason: str) -> int:
    print(f"modelserver: {reason}", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main())
