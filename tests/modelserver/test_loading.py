"""Requests for a model that is still being loaded, beside those for one that answers."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from modelserver import loading
from modelserver.catalog import Model
from modelserver.engine.stub import StubEngine
from modelserver.errors import ApiError, LoadingError
from modelserver.generation import Generations
from tests.modelserver.training_jobs import BASE

OLD = Model(name=BASE, base=BASE)
NEW = Model(name="new", base=BASE)


class SlowToLoad(StubEngine):
    """Everything but the base model is loaded when it is let in, and then only if it is good."""

    def __init__(self) -> None:
        super().__init__([BASE])
        self.let_in = threading.Event()
        self.begun = 0
        self.loaded = {BASE}
        self.failure: Exception | None = None

    def is_loaded(self, model: Model) -> bool:
        return model.name in self.loaded

    def load(self, models: Sequence[Model]) -> None:
        self.begun += 1
        self.let_in.wait()
        if self.failure:
            raise self.failure
        self.loaded |= {model.name for model in models}


@pytest.fixture
def engine() -> Iterator[SlowToLoad]:
    engine = SlowToLoad()
    yield engine
    engine.let_in.set()


@pytest.fixture
def generations(engine: SlowToLoad) -> Iterator[Generations]:
    generations = Generations(engine, slots=2, queue=4)
    yield generations
    engine.let_in.set()
    generations.close()


async def answer(generations: Generations, model: Model) -> str:
    request = {"messages": [{"role": "user", "content": "We sell beds."}]}
    chunks = generations.stream("chat", model, [request])
    return "".join([chunk["choices"][0]["delta"].get("content", "") async for chunk in chunks])


async def start(generations: Generations, model: Model, count: int) -> list[asyncio.Task[str]]:
    """`count` requests, each of which has come to where it waits."""
    tasks = [asyncio.create_task(answer(generations, model)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_who_waits_for_a_model_takes_no_slot(
    engine: SlowToLoad, generations: Generations
) -> None:
    waiting = await start(generations, NEW, 4)
    expected = await answer(generations, OLD)
    assert expected
    assert not any(task.done() for task in waiting)
    engine.let_in.set()
    assert await asyncio.gather(*waiting) == [expected] * 4
    assert engine.begun == 1  # they waited for the same load


async def test_who_waited_long_is_told_to_come_again_and_is_then_answered(
    engine: SlowToLoad, generations: Generations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_WAIT_S", 0.01)
    for _ in range(2):
        with pytest.raises(LoadingError, match="new is still being loaded") as told:
            await answer(generations, NEW)
    assert (told.value.status, told.value.retry_after_s) == (503, 1)
    assert engine.begun == 1  # the load that the first began has gone on
    monkeypatch.undo()
    engine.let_in.set()
    assert await answer(generations, NEW)


async def test_no_more_wait_for_a_model_than_the_queue_holds(
    engine: SlowToLoad, generations: Generations
) -> None:
    waiting = await start(generations, NEW, 4)
    with pytest.raises(LoadingError):
        await answer(generations, NEW)
    assert await answer(generations, OLD)
    waiting[0].cancel()  # a client that leaves makes room, and takes the load from nobody
    await asyncio.wait(waiting[:1])
    waiting += await start(generations, NEW, 1)
    engine.let_in.set()
    assert all(await asyncio.gather(*waiting[1:]))


async def test_a_model_is_loaded_where_no_queue_is_wanted(engine: SlowToLoad) -> None:
    engine.let_in.set()
    generations = Generations(engine, slots=2, queue=0)
    assert await answer(generations, NEW)
    generations.close()


async def test_a_load_that_fails_is_told_to_all_who_waited_and_tried_again(
    engine: SlowToLoad, generations: Generations
) -> None:
    engine.failure = ApiError("The model new could not be loaded: no good")
    waiting = await start(generations, NEW, 2)
    engine.let_in.set()
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert told == [engine.failure] * 2
    engine.failure = None
    assert await answer(generations, NEW)


async def test_what_breaks_while_a_model_loads_shows_nothing_of_the_server(
    engine: SlowToLoad, generations: Generations
) -> None:
    engine.failure = OSError(f"{Path.home()}: gone")
    engine.let_in.set()
    with pytest.raises(ApiError, match="The engine failed") as told:
        await answer(generations, NEW)
    assert told.value.status == 500
