"""Roles as processes: what ends one, and what it costs the others."""

import asyncio
from pathlib import Path

from tests.bot.telegram_server import telegram_server
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


def _wait_for(nod: RunningNod, words: str) -> None:
    for _ in patiently():
        if words in nod.output:
            return
        assert nod.process.poll() is None, nod.output
    raise AssertionError(f"it did not say {words}:\n{nod.output}")
