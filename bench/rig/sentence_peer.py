"""sentence-transformers with the weights of our embedding model, in a process of its own."""

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from bench.rig.e5_folder import write_e5_folder

Batches = Sequence[Sequence[str]]


def measure_peer(batches: Mapping[int, Batches], probes: Sequence[str]) -> tuple[Any, Any]:
    """Texts a second for each batch size, and the vectors of `probes`: (probes, 384).

    Apart, because torch brings an OpenMP that would serve all who come after it here.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_measure, batches, probes).result()


def texts_a_second(parts: Batches, embed: Callable[[Any], Any]) -> float:
    """One part after the other, the first of them once more to warm up."""
    embed(parts[0])
    started_at = time.perf_counter()
    for part in parts:
        embed(part)
    return sum(map(len, parts)) / (time.perf_counter() - started_at)


def _measure(batches: Mapping[int, Batches], probes: Sequence[str]) -> tuple[Any, Any]:
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    # It would warn of a missing pooler, which e5 does without.
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "e5"
        write_e5_folder(folder)
        peer = SentenceTransformer(str(folder), device="cpu")
    rates = {size: texts_a_second(parts, peer.encode) for size, parts in batches.items()}
    return rates, peer.encode(list(probes))
