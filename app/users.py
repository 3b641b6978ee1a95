"""The people who may enter: their names, argon2 passwords and roles."""

import asyncio
import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from store import AuditEntry, Database, Login, User, UserRole, utc_now

MIN_PASSWORD = 8

_hasher = PasswordHasher()  # RFC 9106's low-memory choice: argon2id, 64 MiB, 3 passes


class UserError(ValueError):
    """The user cannot be made or changed so; the message says why."""


def verify(known: str | None, password: str) -> bool:
    """Whether it is the password of a hash; takes as long for an unknown user's, which is none."""
    try:
        return _hasher.verify(known or _nobody(), password)
    except (VerificationError, InvalidHashError):
        return False


@cache
def _nobody() -> str:
    return _hasher.hash(secrets.token_hex())


async def renew_hash(database: Database, user: User, password: str) -> None:
    """Hash the password anew where today's parameters are dearer than those of its hash."""
    if not _hasher.check_needs_rehash(user.password_hash):
        return
    fresh = await asyncio.to_thread(_hasher.hash, password)
    async with database.write() as session:
        found = await session.get(User, user.id)
        if found is not None:
            found.password_hash = fresh


async def find_user(session: AsyncSession, name: str) -> User | None:
    """The user of that name; upper and lower case are the same."""
    return await session.scalar(select(User).where(func.lower(User.name) == name.strip().lower()))


async def get_user(session: AsyncSession, name: str) -> User:
    """As `find_user`.

    Raises:
        UserError: there is none.
    """
    user = await find_user(session, name)
    if user is None:
        raise UserError(f"there is no user {name!r}; `nod users list` shows them")
    return user


async def add_user(
    database: Database, name: str, password: str, role: UserRole, *, who: str
) -> User:
    """Make a user.

    Raises:
        UserError: the name is taken or unusable, or the password too short.
    """
    name = name.strip()
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise UserError(f"the name {name!r} needs 1 to 64 printable characters")
    hashed = await hash_password(password)
    async with database.write() as session:
        if await find_user(session, name):
            raise UserError(f"there is a user {name!r} already")
        user = User(name=name, password_hash=hashed, role=role)
        session.add(user)
        _log(session, who, "add_user", name, role=role)
    return user


async def hash_password(password: str) -> str:
    """Its argon2id hash, made off the event loop (about 50 ms).

    Raises:
        UserError: it is too short.
    """
    if len(password) < MIN_PASSWORD:
        raise UserError(f"the password needs at least {MIN_PASSWORD} characters")
    return await asyncio.to_thread(_hasher.hash, password)


async def set_password(database: Database, name: str, password: str, *, who: str) -> None:
    """Change it, and end the user's stays in the console.

    Raises:
        UserError: there is no such user, or the password is too short.
    """
    hashed = await hash_password(password)
    async with database.write() as session:
        user = await get_user(session, name)
        user.password_hash = hashed
        await _end_logins(session, user)
        _log(session, who, "set_password", user.name)


async def set_role(session: AsyncSession, name: str, role: UserRole, *, who: str) -> User:
    """Give a user another role.

    Raises:
        UserError: there is no such user, or it is the last owner.
    """
    user = await get_user(session, name)
    if role is not UserRole.owner:
        await _keep_an_owner(session, user)
    _log(session, who, "set_role", user.name, before=user.role, after=role)
    user.role = role
    return user


async def set_disabled(session: AsyncSession, name: str, is_disabled: bool, *, who: str) -> User:
    """Shut a user out and end the stays in the console, or let the user in again.

    Raises:
        UserError: there is no such user, or it is the last owner.
    """
    user = await get_user(session, name)
    if is_disabled:
        await _keep_an_owner(session, user)
        await _end_logins(session, user)
    user.disabled_at = utc_now() if is_disabled else None
    _log(session, who, "disable_user" if is_disabled else "enable_user", user.name)
    return user


async def link_telegram(
    session: AsyncSession, name: str, telegram_id: int | None, *, who: str
) -> User:
    """Tell which Telegram account is the user's: held drafts and `/mode` work from there.

    Raises:
        UserError: there is no such user, or the account is another user's.
    """
    user = await get_user(session, name)
    if telegram_id is not None:
        other = await session.scalar(select(User).where(User.telegram_id == telegram_id))
        if other is not None and other.id != user.id:
            raise UserError(f"the Telegram account {telegram_id} belongs to {other.name!r}")
    user.telegram_id = telegram_id
    _log(session, who, "link_telegram", user.name)
    return user


async def ensure_owner(database: Database, *, who: str = "nod") -> str | None:
    """Make the user `owner` where there is no user yet; its new password, to be shown once.

    Of several processes that start together one makes it, and has the password.
    """
    async with database.read() as session:
        if await session.scalar(select(func.count(User.id))):
            return None
    password = secrets.token_urlsafe(12)
    try:
        await add_user(database, "owner", password, UserRole.owner, who=who)
    except (UserError, IntegrityError):  # another process has made it meanwhile
        return None
    return password


async def _keep_an_owner(session: AsyncSession, user: User) -> None:
    others = select(func.count(User.id)).where(
        User.role == UserRole.owner, User.disabled_at.is_(None), User.id != user.id
    )
    if user.role is UserRole.owner and not await session.scalar(others):
        raise UserError(f"{user.name!r} is the last owner; make another one first")


async def _end_logins(session: AsyncSession, user: User) -> None:
    await session.execute(delete(Login).where(Login.user_id == user.id))


def _log(session: AsyncSession, who: str, action: str, name: str, **detail: str) -> None:
    session.add(AuditEntry(who=who, action=action, detail={"user": name, **detail}))
