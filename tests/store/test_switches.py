"""Switches are set while the program runs, and each change is logged."""

import pytest
from sqlalchemy import select

from store import AuditEntry, Database, Mode, Policy, Switches
from store.switches import SwitchError, read_switches, set_switch


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
