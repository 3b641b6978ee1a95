"""Waiting for a model that is not loaded: beside the slots, so that other models answer."""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor

from modelserver.catalog import Model
from modelserver.engine import Engine
from modelserver.errors import LoadingError

_WAIT_S = 10.0  # before the client is told to come again
_THREADS = 4  # models that load at a time; llama.cpp loads one after the other for each base


class Loads:
    """At most `queue` requests wait, or one; those for the same model wait for the same load."""

    def __init__(self, engine: Engine, *, queue: int) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="load")
        self._queue = max(1, queue)  # somebody has to wait, or nothing would ever be loaded
        self._waiting = 0
        self._loads: dict[str, Future[None]] = {}  # by the model's name, those under way

    async def wait_for(self, model: Model) -> None:
        """Returns once the model is loaded.

        Raises LoadingError when that takes long or too many wait, or what the engine raises. The
        load goes on: who comes again will find it further.
        """
        if self._engine.is_loaded(model):
            return
        if self._waiting >= self._queue:
            raise _still_loading(model)
        load = self._find_or_start(model)
        self._waiting += 1
        try:
            # Who leaves, or waited for too long, must not cancel what others wait for.
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(load)), _WAIT_S)
        except TimeoutError:
            raise _still_loading(model) from None
        finally:
            self._waiting -= 1

    def _find_or_start(self, model: Model) -> Future[None]:
        self._loads = {name: load for name, load in self._loads.items() if not load.done()}
        if model.name not in self._loads:
            self._loads[model.name] = self._threads.submit(self._engine.load, [model])
        return self._loads[model.name]

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)


def _still_loading(model: Model) -> LoadingError:
    return LoadingError(f"The model {model.name} is still being loaded. Try again in a second.")
