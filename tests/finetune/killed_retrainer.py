"""Advances a run and is killed, again and again: python -m tests.finetune.killed_retrainer ...

Each life is a process of its own, forked after the imports. It ends by SIGKILL right before or
right after one call, each time at the next point of the list, so that one run is killed in every
state, before and after everything that it does outside.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from finetune import leftovers, outcome, retrain, training
from finetune.claim import Claim
from finetune.evaluate import Evaluator
from finetune.leftovers import Leftovers
from finetune.provider import Provider
from finetune.run import active_run
from finetune.trial import Trial
from store import Database
from tests.finetune.shop import open_shop, quick_options

POINTS: list[tuple[Any, str, str, int]] = [
    # where, its name, before or after the call, the how-manieth call
    (retrain, "make_lines", "after", 1),  # collecting: nothing is stored yet
    (retrain, "freeze", "after", 1),  # the rows are written, not committed
    (training, "write_file", "after", 1),  # uploading: a file lies on disk
    (Provider, "upload", "after", 1),  # one file is there, and nobody knows
    (Provider, "upload", "after", 2),  # both are
    (Claim, "settle", "before", 1),
    (Provider, "create_job", "before", 1),  # training
    (Provider, "create_job", "after", 1),  # a job runs, and nobody knows
    (Claim, "settle", "after", 1),  # written, not committed
    (Provider, "new_events", "after", 1),
    (Evaluator, "_keep", "before", 3),  # evaluating: in the middle of a batch
    (Evaluator, "_keep", "after", 9),
    (Trial, "_fit_threshold", "before", 1),
    (Trial, "_fit_threshold", "after", 1),
    (Evaluator, "_keep", "after", 2),
    (outcome, "promote", "after", 1),  # deciding: live, but not committed
    (Provider, "delete_file", "after", 1),  # cleaning up: one file is gone
    (Leftovers, "_note", "before", 1),  # both are, and nobody knows
]


def kill_at(owner: Any, name: str, when: str, count: int) -> None:
    """Put the end of this process around one call."""
    original = getattr(owner, name)
    calls = returns = 0

    async def deadly(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls, returns
        calls += 1
        if when == "before" and calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        result = await original(*args, **kwargs)
        returns += 1  # what the provider refused has not happened
        if when == "after" and returns == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, deadly)


leftovers.CLAIM_S = 0.6  # a dead one's are taken over as soon as its run would be


async def live_once(database_url: str, home: Path, url: str) -> None:
    database = Database(database_url)
    async with open_shop(database, home, url, quick_options(lease_s=0.6)) as shop:
        async with database.read() as session:
            is_active = await active_run(session) is not None
        if is_active:
            await shop.run_to_the_end()
        await shop.clean_up()


def main(database_url: str, home: str, url: str) -> int:
    for owner, name, when, count in POINTS:
        child = os.fork()
        if child == 0:
            kill_at(owner, name, when, count)
            asyncio.run(live_once(database_url, Path(home), url))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            print(f"not killed {when} {name}: status {status}")  # noqa: T201 - the test reads it
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
