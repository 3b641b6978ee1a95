"""`kill -9` in each step between a message and its delivery: nothing lost, nothing twice."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.masks import edit_mask, ensure_default
from store import Database, Reply, ReplyStatus, Turn
from store.switches import set_switch
from tests.bot.dying_bot import STEPS
from tests.bot.running_program import Run, program

TEXTS = ["first question", "second question", "third question"]


@pytest.fixture(scope="module")
def run_bot() -> Iterator[Run]:
    """Runs a bot on a folder and a model server, until a step; its exit status."""
    with program("tests.bot.dying_bot") as run:
        yield run


@pytest.mark.parametrize("step", STEPS)
async def test_killed_in_this_step_it_goes_on_and_repeats_nothing(
    step: str, run_bot: Run, database: Database, tmp_path: Path, modelserver_url: str
) -> None:
    await ensure_default(database)
    async with database.write() as session:
        await set_switch(session, "mode", "base", who="olga")
        few_shot = [
            {"role": "user", "content": "which question is it"},
            {"role": "assistant", "content": "It is the question\n---\nthat you asked"},
        ]
        await edit_mask(session, "default", who="olga", few_shot=few_shot)
    order = {"folder": str(tmp_path), "url": modelserver_url, "texts": TEXTS}
    assert run_bot(order | {"step": step}) == -signal.SIGKILL
    # The channel delivers again what it does not know to be received.
    assert run_bot(order | {"step": "never"}) == 0
    async with database.read() as session:
        turns = list(await session.scalars(select(Turn).where(Turn.delivery_id.is_not(None))))
        replies = list(await session.scalars(select(Reply).order_by(Reply.id)))
    assert [turn.text for turn in turns] == TEXTS
    assert [reply.turn_id for reply in replies] == [turn.id for turn in turns]
    assert {reply.status for reply in replies} == {ReplyStatus.sent}
    taken = [
        line.split(" ")[0] for line in (tmp_path / "taken").read_text().splitlines() if "/" in line
    ]
    expected = [
        f"{reply.id}/{place}"
        for reply in replies
        for place in range(len(reply.text.split("\n---\n")))
    ]
    assert taken == expected
