"""What a message costs on its way through Nod, beside the bare completion call that is inside it.

`nod up` and the model server's stub engine run as they ship, each in its process, on SQLite. 32
customers chat at once over the web channel: POST, then server-sent events until the reply is on
the page. Then the very prompts that Nod sent, read from its rows, go to the model server without
Nod, 32 at once. The stub takes about a second for an answer, as a model does; for the messages
that one process carries it takes no time at all.

The customers share the machine. So beside what they saw stands what Nod's own clock says of the
same messages, the processor time of Nod for each, and that of the bench itself.

Each customer comes from a loopback address of its own, because the web channel limits how fast
one address may write. So it needs Linux, where all of 127.0.0.0/8 answers.
"""

import asyncio
import time
from typing import Any

from bench.rig.load import Answered, chat, complete_all
from bench.rig.programs import Programs, run_programs

ROUNDS = 2
PERCENTS = {"median": 50, "p99": 99}
TOKEN_DELAY_S = 0.05
"""The stub says 15 to 30 words, so an answer takes about a second."""


def main() -> dict[str, Any]:
    """Overheads in milliseconds, and the messages a second of one process."""
    return asyncio.run(_measure())


async def _measure() -> dict[str, Any]:
    figures: list[dict[str, Any]] = []
    with run_programs(delay_s=TOKEN_DELAY_S) as programs:
        for mode in ("base", "retrieval"):
            figures += await _measure_overhead(programs, mode)
    with run_programs(delay_s=0) as programs:
        figures += await _measure_rate(programs)
    return {"figures": figures}


async def _measure_overhead(programs: Programs, mode: str) -> list[dict[str, Any]]:
    await programs.switch(mode)
    await chat(programs, rounds=1)  # warm: caches, connections, compiled statements
    since = programs.last_reply()
    used = _Used(programs)
    through = await chat(programs, rounds=ROUNDS)
    cost = used.figures(mode, len(through.sample))
    without = await complete_all(programs, programs.prompts(since))
    figures = []
    for name, percent in PERCENTS.items():
        whole, bare = through.percentile(percent), without.percentile(percent)
        reference = f"{mode}: bare completion, {name}"
        figures += [
            _figure(reference, bare, "ms"),
            _figure(f"{mode}: through Nod, {name}", whole, "ms", ratio_to=reference),
            _figure(f"{mode}: overhead, {name}", whole - bare, "ms"),
        ]
    return figures + _stages(programs, mode, since) + cost


def _stages(programs: Programs, mode: str, since: int) -> list[dict[str, Any]]:
    """By Nod's own clock, which the customers' share of the machine does not reach."""
    stages = programs.stages(since)
    around = Answered(sample=[stage.around_ms for stage in stages])
    delivery = Answered(sample=[stage.delivery_ms for stage in stages])
    return [
        _figure(f"{mode}: {what}, {name}", taken.percentile(percent), "ms")
        for what, taken in (("in Nod around the answer", around), ("in the outbox", delivery))
        for name, percent in PERCENTS.items()
    ]


async def _measure_rate(programs: Programs) -> list[dict[str, Any]]:
    await programs.switch("base")
    await chat(programs, rounds=1)
    since = programs.last_reply()
    used = _Used(programs)
    through = await chat(programs, rounds=ROUNDS, stagger_s=0)
    cost = used.figures("instant model", len(through.sample))
    without = await complete_all(programs, programs.prompts(since), stagger_s=0)
    reference = "bare completions a second, instant model"
    return [
        _figure(reference, without.rate, "1/s"),
        _figure("messages a second, instant model", through.rate, "1/s", ratio_to=reference),
        *cost,
    ]


class _Used:
    """Processor time, of Nod and of the customers in this process, from here on."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._nod_s, self._own_s = programs.cpu_s(), time.process_time()

    def figures(self, where: str, messages: int) -> list[dict[str, Any]]:
        nod_s = self._programs.cpu_s() - self._nod_s
        own_s = time.process_time() - self._own_s
        nod = f"{where}: processor time of Nod a message"
        return [
            _figure(nod, 1000 * nod_s / messages, "ms"),
            _figure(f"{where}: of the bench itself", 1000 * own_s / messages, "ms", ratio_to=nod),
        ]


def _figure(name: str, value: float, unit: str, *, ratio_to: str | None = None) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "ratio_to": ratio_to}
