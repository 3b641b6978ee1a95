"""Who may enter, and who may not."""

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from app.door import Door
from app.users import (
    UserError,
    add_user,
    ensure_owner,
    link_telegram,
    set_disabled,
    set_password,
    set_role,
)
from store import AuditEntry, Database, Login, User, UserRole, utc_now

PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real thing at a small cost: what it costs is the library's promise."""
    monkeypatch.setattr("app.users._hasher", PasswordHasher(time_cost=1, memory_cost=64))


@pytest.fixture
async def ada(database: Database) -> User:
    return await add_user(database, "Ada", PASSWORD, UserRole.owner, who="test")


async def test_the_password_is_stored_as_argon2id_only(database: Database, ada: User) -> None:
    assert ada.password_hash.startswith("$argon2id$")
    assert PASSWORD not in ada.password_hash


async def test_a_new_password_ends_the_stays_in_the_console(database: Database, ada: User) -> None:
    async with database.write() as session:
        session.add(Login(token_sha256="0" * 64, user_id=ada.id, expires_at=utc_now()))
    await set_password(database, "ada", "another horse", who="test")
    async with database.read() as session:
        assert (await session.scalars(select(Login))).all() == []


async def test_the_last_owner_can_neither_be_demoted_nor_disabled(
    database: Database, ada: User
) -> None:
    async with database.write() as session:
        with pytest.raises(UserError, match="last owner"):
            await set_role(session, "ada", UserRole.reviewer, who="test")
        with pytest.raises(UserError, match="last owner"):
            await set_disabled(session, "ada", True, who="test")


@pytest.mark.parametrize(
    ("name", "password", "reason"),
    [
        ("ada", PASSWORD, "already"),
        ("", PASSWORD, "1 to 64"),
        ("a\nb", PASSWORD, "printable"),
        ("bob", "short", "at least 8"),
    ],
)
async def test_a_user_that_cannot_be_made_is_refused_with_the_reason(
    database: Database, ada: User, name: str, password: str, reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        await add_user(database, name, password, UserRole.reviewer, who="test")


async def test_a_telegram_account_belongs_to_one_user(database: Database, ada: User) -> None:
    await add_user(database, "bob", PASSWORD, UserRole.reviewer, who="test")
    async with database.write() as session:
        await link_telegram(session, "ada", 42, who="test")
        with pytest.raises(UserError, match="belongs to 'Ada'"):
            await link_telegram(session, "bob", 42, who="test")


async def test_the_owner_is_made_once_and_its_password_opens(database: Database) -> None:
    password = await ensure_owner(database)
    assert password is not None
    assert (await Door(database).enter("owner", password, "::1")).role is UserRole.owner
    assert await ensure_owner(database) is None


async def test_what_was_done_to_users_is_logged_without_passwords(
    database: Database, ada: User
) -> None:
    async with database.read() as session:
        entries = (await session.scalars(select(AuditEntry))).all()
    assert [(entry.who, entry.action) for entry in entries] == [("test", "add_user")]
    assert PASSWORD not in str(entries[0].detail)
