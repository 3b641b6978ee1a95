"""llama-cpp-python's server, what one would run instead: its own environment, its defaults.

`NOD_BENCH_LLAMA_SERVER` names a Python that has `llama-cpp-python[server]`; without it one is built
in bench/out/llama-server, once, which takes about five minutes and a C++ compiler.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from bench.rig.ports import free_port

_FOLDER = Path(__file__).parents[1] / "out" / "llama-server"
_BUILD_S = 1800
_START_S = 120


def find_python() -> Path:
    """Builds the environment where there is none."""
    if given := os.environ.get("NOD_BENCH_LLAMA_SERVER"):
        return Path(given)
    python = _FOLDER / "bin" / "python"
    if not (_FOLDER / "is_complete").exists():
        _FOLDER.parent.mkdir(exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(_FOLDER)], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "llama-cpp-python[server]"]
        subprocess.run(command, check=True, timeout=_BUILD_S)
        (_FOLDER / "is_complete").touch()
    return python


@contextmanager
def run_llama_server(model: Path) -> Iterator[str]:
    """Yields its base URL.

    One option is not its default: a new request would cut off the answer that is being streamed.
    """
    port = free_port()
    options = {"model": model, "host": "127.0.0.1", "port": port, "interrupt_requests": False}
    command = [str(find_python()), "-m", "llama_cpp.server", "--verbose", "False"]
    command += [text for key, value in options.items() for text in (f"--{key}", str(value))]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as process:
        url = f"http://127.0.0.1:{port}/v1"
        try:
            _wait_for(url, process)
            yield url
        finally:
            process.terminate()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"llama-cpp-python's server ended with code {process.returncode}")
        try:
            if httpx2.get(f"{url}/models", timeout=5).status_code == 200:
                return
        except httpx2.HTTPError:
            time.sleep(0.3)
    raise TimeoutError(f"llama-cpp-python's server did not answer within {_START_S} s")
