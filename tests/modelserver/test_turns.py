"""Requests for several adapters at one llama.cpp, which answers with one at a time."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from modelserver.engine.turns import Turns


class Answers:
    """Answers that go on until they are told to end."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self.turns = Turns()
        self.begun: list[str] = []
        self.ends: dict[str, threading.Event] = {}
        self.futures: dict[str, Future[None]] = {}

    def ask(self, name: str) -> None:
        """The first letter is the adapter. Returns when it has begun, or waits."""
        self.ends[name] = threading.Event()
        waiting = self._count_waiting()
        self.futures[name] = self._threads.submit(self._answer, name)
        wait_until(lambda: name in self.begun or self._count_waiting() > waiting)

    def end(self, name: str) -> None:
        self.ends[name].set()
        self.futures[name].result()

    def _answer(self, name: str) -> None:
        with self.turns.take(name[0]):
            self.begun.append(name)
            self.ends[name].wait()

    def _count_waiting(self) -> int:
        return sum(map(len, list(self.turns._waiting.values())))


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


@pytest.fixture
def answers() -> Iterator[Answers]:
    with ThreadPoolExecutor(8) as threads:
        answers = Answers(threads)
        yield answers
        for end in answers.ends.values():
            end.set()


def test_those_with_the_same_adapter_are_answered_together(answers: Answers) -> None:
    for name in ("a1", "a2", "a3"):
        answers.ask(name)
    assert answers.begun == ["a1", "a2", "a3"]


def test_nobody_overtakes_who_waits_for_another_adapter(answers: Answers) -> None:
    for name in ("a1", "a2", "b1", "a3", "b2"):
        answers.ask(name)
    assert answers.begun == ["a1", "a2"]
    answers.end("a1")
    assert answers.begun == ["a1", "a2"]
    answers.end("a2")
    wait_until(lambda: len(answers.begun) == 4)
    assert set(answers.begun[2:]) == {"b1", "b2"}
    answers.end("b2")
    answers.end("b1")
    wait_until(lambda: answers.begun[4:] == ["a3"])


def test_a_third_adapter_gets_its_turn_in_the_order_of_asking(answers: Answers) -> None:
    for name in ("a1", "b1", "c1", "b2"):
        answers.ask(name)
    answers.end("a1")
    wait_until(lambda: len(answers.begun) == 3)
    assert set(answers.begun[1:]) == {"b1", "b2"}
    answers.ask("b3")  # too late for this turn: somebody waits
    assert "b3" not in answers.begun
    answers.end("b1")
    answers.end("b2")
    wait_until(lambda: answers.begun[3:] == ["c1"])
    answers.end("c1")
    wait_until(lambda: answers.begun[4:] == ["b3"])


def test_an_answer_that_fails_ends_its_turn(answers: Answers) -> None:
    with pytest.raises(ZeroDivisionError), answers.turns.take("a"):
        1 / 0  # noqa: B018
    answers.ask("b1")
    assert answers.begun == ["b1"]
