"""Signing: signatures for near-duplicates are made in a process beside the one that reads.

In a thread, numpy would wait for Python's lock after each of its many steps. The process takes
batches from the spill by their places, which come through its standard input, and writes the
signatures into another file without a name. If it does not start, or dies, that costs time and
nothing else: they are then made here.
"""

import os
import struct
import subprocess
import sys
from contextlib import suppress

import numpy as np

from finetune.prepare.batch import Batch
from finetune.prepare.near import HASHES, Signatures, sign
from finetune.prepare.spill import Spill, load_batch, open_nameless

_AT_LEAST = 4
"""Batches: to start Python takes as long as to sign so many, of a megabyte each."""
_PLACE = struct.Struct("=qq")


class Signer:
    """Signs what is in a spill."""

    def __init__(self, spill: Spill) -> None:
        self._spill = spill
        self._signed = open_nameless(spill.folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._sent = 0

    @property
    def is_beside(self) -> bool:
        """Whether a process does it."""
        return self._process is not None

    def follow(self) -> None:
        """Have signed what was spilled since the last time; does not wait for it."""
        if len(self._spill.places) == _AT_LEAST:
            self._process = self._start()
        if self._process is None or self._process.stdin is None:
            return
        news = self._spill.places[self._sent :]
        with suppress(BrokenPipeError):  # `finish` sees that it has died
            self._process.stdin.write(b"".join(_PLACE.pack(*place[:2]) for place in news))
        self._sent += len(news)

    def finish(self) -> Signatures:
        """All signatures, one a row."""
        count = sum(count for _, _, count in self._spill.places)
        if self._process is not None:
            with suppress(BrokenPipeError):
                self._process.communicate()
            self._signed.seek(0)
            signed = np.frombuffer(self._signed.read(), dtype=np.uint16)
            if self._process.returncode == 0 and len(signed) == count * HASHES:
                return signed.reshape(-1, HASHES)
        return np.concatenate([np.zeros((0, HASHES), np.uint16), *map(_sign, self._spill)])

    def close(self) -> None:
        """Stop, where nobody is going to ask any more."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._signed.close()

    def _start(self) -> subprocess.Popen[bytes] | None:
        files = self._spill.fileno(), self._signed.fileno()
        surroundings = {"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
        try:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, *map(str, files)],
                bufsize=0,
                stdin=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=files,
                env={**os.environ, **surroundings},
            )
        except (OSError, ValueError):  # no such program; no files to hand over on Windows
            return None


def _sign(batch: Batch) -> Signatures:
    pairs = zip(batch.prompts, batch.completions, strict=True)
    return sign([f"{prompt}\n{completion}" for prompt, completion in pairs])


def _sign_for_parent(spill: int, signed: int) -> None:
    with os.fdopen(signed, "wb") as file:
        while place := sys.stdin.buffer.read(_PLACE.size):
            start, size = _PLACE.unpack(place)
            file.write(_sign(load_batch(os.pread(spill, size, start))).tobytes())


if __name__ == "__main__":
    _sign_for_parent(*map(int, sys.argv[1:]))
