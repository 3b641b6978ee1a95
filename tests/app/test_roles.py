"""Roles as processes: what ends one, and what it costs the others."""

import asyncio
from pathlib import Path

from sqlalchemy import select

from bot.phrases import Phrase
from store import Database, Reply, ReplyStatus
from tests.bot.running_bot import eventually
from tests.bot.telegram_server import TOKEN, telegram_server
from tests.e2e.running_nod import RunningNod, command, patiently, running

WRONG = "999:wrong-and-secret"


async def test_a_wrong_token_ends_a_process_that_has_nothing_but_telegram(tmp_path: Path) -> None:
    async with telegram_server() as server:
        settings = {"TELEGRAM_TOKEN": WRONG, "TELEGRAM_BASE_URL": server.url}
        code, said, complained = await asyncio.to_thread(
            command, tmp_path / "nod", "telegram", **settings
        )
    assert code == 1
    assert "nod: Telegram refuses NOD_TELEGRAM_TOKEN. Ask @BotFather" in complained
    assert "Stopped." not in said
    assert WRONG not in said + complained


async def test_a_wrong_token_costs_the_other_roles_nothing(tmp_path: Path) -> None:
    async with telegram_server() as server:
        settings = {"TELEGRAM_TOKEN": WRONG, "TELEGRAM_BASE_URL": server.url}
        with running(tmp_path / "nod", **settings) as up:
            await asyncio.to_thread(_wait_for, up, "telegram_is_off")
            await asyncio.to_thread(up.wait_until_up)
            code = await asyncio.to_thread(up.stop)
    assert code == 0
    assert "Stopped." in up.output
    assert "never retrieved" not in up.output
    assert WRONG not in up.output


async def test_a_reply_on_its_way_to_telegram_when_it_is_stopped_arrives(tmp_path: Path) -> None:
    """Reading ends first; the way out stays open until the outbox has ended."""
    async with telegram_server() as server:
        gate = server.gates["sendMessage"] = asyncio.Event()
        settings = {"TELEGRAM_TOKEN": TOKEN, "TELEGRAM_BASE_URL": server.url}
        with running(tmp_path / "nod", **settings) as up:
            server.write("/help")
            await eventually(lambda: _is(bool(server.called("sendMessage"))))
            stopping = asyncio.create_task(asyncio.to_thread(up.stop))
            await asyncio.to_thread(_wait_for, up, "stopping")
            await asyncio.sleep(0.5)  # the roles end, but for those that still have work
            gate.set()
            assert await stopping == 0
        assert server.texts_in(7) == [Phrase.help.like("")]
        assert len(server.called("sendMessage")) == 1
    assert await _statuses(tmp_path / "nod" / "nod.db") == [ReplyStatus.sent]


async def _statuses(path: Path) -> list[ReplyStatus]:
    async with Database(f"sqlite+aiosqlite:///{path}").read() as session:
        return list(await session.scalars(select(Reply.status)))


async def _is(value: bool) -> bool:
    return value


def _wait_for(nod: RunningNod, words: str) -> None:
    for _ in patiently():
        if words in nod.output:
            return
        assert nod.process.poll() is None, nod.output
    raise AssertionError(f"it did not say {words}:\n{nod.output}")
