"""The door: who gets in, who has to wait, and whom nobody can keep waiting."""

import asyncio

import pytest
from argon2 import PasswordHasher

from app import door as door_module
from app.door import (
    FREE_ADDRESS_FAILURES,
    FREE_FAILURES,
    MAX_STRANGER_FAILURES,
    Door,
    LoginError,
    entered_from,
    network_of,
)
from app.users import add_user, get_user, set_disabled
from store import Database, User, UserRole

PASSWORD = "correct horse"
HOME, ELSEWHERE = "1.2.3.4", "5.6.7.8"


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real thing at a small cost: what it costs is the library's promise."""
    monkeypatch.setattr("app.users._hasher", PasswordHasher(time_cost=1, memory_cost=64))


@pytest.fixture
async def ada(database: Database) -> User:
    return await add_user(database, "Ada", PASSWORD, UserRole.owner, who="test")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> "Clock":
    clock = Clock()
    monkeypatch.setattr(door_module.time, "monotonic", clock)
    return clock


class Clock:
    """A time that tests move on."""

    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


async def guess(door: Door, count: int, *, name: str = "Ada", address: str = ELSEWHERE) -> None:
    """Wrong passwords; `{}` in name or address is the number of the guess."""
    for number in range(count):
        with pytest.raises(LoginError, match="Wrong"):
            await door.enter(name.format(number), "wrong horse", address.format(number))


async def has_entered(database: Database, user: User, address: str) -> None:
    async with database.write() as session:
        session.add(entered_from(user, address))


async def test_the_right_password_opens_whatever_the_case_of_the_name(
    database: Database, ada: User
) -> None:
    user = await Door(database).enter(" ada ", PASSWORD, "1.2.3.4")
    assert user.id == ada.id


@pytest.mark.parametrize(("name", "password"), [("Ada", "wrong horse"), ("Bob", PASSWORD)])
async def test_a_wrong_name_and_a_wrong_password_read_the_same(
    database: Database, ada: User, name: str, password: str
) -> None:
    with pytest.raises(LoginError, match=r"^Wrong name or password\.$"):
        await Door(database).enter(name, password, "1.2.3.4")


async def test_guessing_is_slowed_down_even_for_the_right_password(
    database: Database, ada: User, clock: Clock
) -> None:
    door = Door(database)
    await guess(door, FREE_FAILURES + 1)
    with pytest.raises(LoginError, match="Too many failures") as caught:
        await door.enter("ada", PASSWORD, ELSEWHERE)
    clock.now_s += caught.value.retry_after_s or 0
    assert (await door.enter("ada", PASSWORD, ELSEWHERE)).id == ada.id
    await guess(door, FREE_FAILURES)  # who got in begins afresh


async def test_each_further_guess_doubles_the_wait_up_to_a_bound(
    database: Database, ada: User, clock: Clock
) -> None:
    door, waits = Door(database), []
    await guess(door, FREE_FAILURES)
    for _ in range(12):
        await guess(door, 1)
        with pytest.raises(LoginError) as caught:
            await door.enter("ada", PASSWORD, ELSEWHERE)
        waits.append(caught.value.retry_after_s or 0)
        clock.now_s += waits[-1]
    assert [round(wait_s) for wait_s in waits[:4]] == [2, 4, 8, 16]
    assert waits[-1] == waits[-2] == pytest.approx(door_module.MAX_WAIT_S)


async def test_nobody_keeps_the_owner_waiting_from_another_address(
    database: Database, ada: User
) -> None:
    door = Door(database)
    await guess(door, FREE_FAILURES + 1)
    assert (await door.enter("Ada", PASSWORD, HOME)).id == ada.id


async def test_many_guesses_at_the_same_moment_are_counted_one_by_one(
    any_database: Database,
) -> None:
    await add_user(any_database, "Ada", PASSWORD, UserRole.owner, who="test")
    door = Door(any_database)
    tries = (door.enter("ada", "wrong horse", ELSEWHERE) for _ in range(3 * FREE_FAILURES))
    errors = await asyncio.gather(*tries, return_exceptions=True)
    checked = [error for error in errors if str(error) == "Wrong name or password."]
    assert len(checked) == FREE_FAILURES + 1


async def test_an_address_that_tries_many_names_is_slowed_down(
    database: Database, ada: User
) -> None:
    door = Door(database)
    await guess(door, FREE_ADDRESS_FAILURES + 1, name="guess{}")
    with pytest.raises(LoginError, match="Too many failures"):
        await door.enter("Ada", PASSWORD, ELSEWHERE)
    assert (await door.enter("Ada", PASSWORD, HOME)).id == ada.id


async def test_many_machines_together_are_bound_and_the_owner_at_home_gets_in(
    any_database: Database, clock: Clock
) -> None:
    ada = await add_user(any_database, "Ada", PASSWORD, UserRole.owner, who="test")
    await has_entered(any_database, ada, HOME)
    door = Door(any_database)
    await guess(door, MAX_STRANGER_FAILURES, address="10.0.0.{}")
    with pytest.raises(LoginError, match="Too many failures"):
        await door.enter("Ada", "wrong horse", "10.9.9.9")
    assert (await door.enter("Ada", PASSWORD, HOME)).id == ada.id
    with pytest.raises(LoginError, match="Too many failures"):
        await door.enter("Ada", PASSWORD, "10.9.9.9")  # a stranger, though with the password
    clock.now_s += door_module.STRANGER_WINDOW_S
    assert (await door.enter("Ada", PASSWORD, "10.9.9.9")).id == ada.id


async def test_an_address_is_known_for_the_user_who_entered_there_alone(
    database: Database, ada: User
) -> None:
    bob = await add_user(database, "bob", PASSWORD, UserRole.reviewer, who="test")
    await has_entered(database, bob, HOME)
    door = Door(database)
    await guess(door, MAX_STRANGER_FAILURES, address="10.0.0.{}")
    assert (await door.enter("bob", PASSWORD, HOME)).id == bob.id
    with pytest.raises(LoginError, match="Too many failures"):
        await door.enter("Ada", PASSWORD, HOME)


async def test_a_guess_at_a_known_address_is_slowed_down_too(database: Database, ada: User) -> None:
    await has_entered(database, ada, HOME)
    door = Door(database)
    await guess(door, FREE_FAILURES + 1, address=HOME)
    with pytest.raises(LoginError, match="Too many failures"):
        await door.enter("Ada", PASSWORD, HOME)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
    ],
)
def test_who_has_one_address_of_a_network_has_all_of_them(address: str, network: str) -> None:
    assert network_of(address) == network


async def test_an_old_hash_is_renewed_at_login(database: Database, ada: User) -> None:
    old = PasswordHasher(time_cost=2, memory_cost=64).hash(PASSWORD)
    async with database.write() as session:
        (await get_user(session, "ada")).password_hash = old
    await Door(database).enter("ada", PASSWORD, "1.2.3.4")
    async with database.read() as session:
        assert (await get_user(session, "ada")).password_hash != old
    await Door(database).enter("ada", PASSWORD, "1.2.3.4")


async def test_a_disabled_user_stays_outside(database: Database, ada: User) -> None:
    await add_user(database, "bob", PASSWORD, UserRole.reviewer, who="test")
    async with database.write() as session:
        await set_disabled(session, "bob", True, who="test")
    with pytest.raises(LoginError):
        await Door(database).enter("bob", PASSWORD, "1.2.3.4")
