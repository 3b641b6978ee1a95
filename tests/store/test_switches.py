"""Switches are set while the program runs, and each change is logged."""

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from store import AuditEntry, Database, Mode, Policy, Setting, Switches
from store.switches import (
    SwitchError,
    read_lost_switches,
    read_switches,
    set_switch,
)


async def test_switches_never_set_have_their_defaults(database: Database) -> None:
    async with database.read() as session:
        assert await read_switches(session) == Switches()


async def test_a_switch_stays_where_it_was_set_and_says_who_did_it(database: Database) -> None:
    async with database.write() as session:
        await set_switch(session, "mode", "retrieval", who="ana")
    async with database.write() as session:
        await set_switch(session, "policy", Policy.hold, who="bo")
    async with database.read() as session:
        switches = await read_switches(session)
        entries = (await session.scalars(select(AuditEntry).order_by(AuditEntry.id))).all()
    assert (switches.mode, switches.policy) == (Mode.retrieval, Policy.hold)
    assert [entry.who for entry in entries] == ["ana", "bo"]
    assert entries[0].detail == {"key": "mode", "from": "auto", "to": "retrieval"}


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("mode", "fastest", "fastest"),
        ("colour", "red", "colour"),
        ("retrain_min_examples", "-3", "-3"),
        ("retrain_cron", "daily", "daily"),
    ],
)
async def test_a_bad_switch_is_refused_and_named(
    database: Database, key: str, value: str, named: str
) -> None:
    with pytest.raises(SwitchError, match=named):
        async with database.write() as session:
            await set_switch(session, key, value, who="ana")


async def test_a_stored_switch_that_means_nothing_has_its_default_and_is_told(
    any_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = {
        "mode": "psychic",
        "policy": "hold",
        "retrain_cron": None,
        "retrain_min_examples": {"at": 3},
    }
    async with any_database.write() as session:
        for key, value in stored.items():
            session.add(Setting(key=key, value=value, updated_by="a newer version"))
    monkeypatch.setattr("store.switches._told", set())
    with capture_logs() as logs:
        for _ in range(2):
            async with any_database.read() as session:
                switches = await read_switches(session)
    assert switches == Switches(policy=Policy.hold)
    assert [entry["event"] for entry in logs] == ["switch_means_nothing"] * 3  # once, not twice
    async with any_database.read() as session:
        lost = await read_lost_switches(session)
    assert any("mode='psychic' is not one of base, " in problem for problem in lost)
    assert any("until it is set again, mode is 'auto'" in problem for problem in lost)
    assert len(lost) == 3


async def test_a_policy_that_means_nothing_holds_every_answer(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with database.write() as session:
        session.add(Setting(key="policy", value="send_politely", updated_by="a newer version"))
    monkeypatch.setattr("store.switches._told", set())
    with capture_logs() as logs:
        async with database.read() as session:
            assert await read_switches(session) == Switches(policy=Policy.hold)
    assert logs[0]["problem"].endswith("until it is set again, policy is 'hold'")


async def test_setting_a_lost_switch_mends_it_and_logs_what_was_there(database: Database) -> None:
    async with database.write() as session:
        session.add(Setting(key="mode", value="psychic", updated_by="a newer version"))
    async with database.write() as session:
        await set_switch(session, "mode", "hybrid", who="ana")
        assert await read_lost_switches(session) == []
        entry = (await session.scalars(select(AuditEntry))).one()
    assert entry.detail == {"key": "mode", "from": "psychic", "to": "hybrid"}
