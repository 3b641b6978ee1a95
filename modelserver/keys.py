"""API keys: made here, shown once, kept as hashes, and revoked while the server runs.

SHA-256 without salt is enough for them: a key has 256 random bits, so nobody can try them all.
"""

import hashlib
import secrets
import sqlite3
import time
from collections.abc import Iterable

from modelserver.database import Database
from modelserver.ids import new_id, now

_FRESH_S = 1.0  # after so long, a key that another process made or revoked is noticed


class UnknownKeyError(ValueError):
    """No key has this id."""


class Keys:
    """`plain` are keys of this one start, from the command line; they are not in the table."""

    def __init__(self, database: Database, plain: Iterable[str] = ()) -> None:
        self._database = database
        self._plain = {hash_key(key): f"key-plain-{i}" for i, key in enumerate(plain, 1)}
        self._known: dict[bytes, str] = {}
        self._fresh_until = 0.0
        self.are_needed = False
        self.read()

    @property
    def is_stale(self) -> bool:
        return time.monotonic() > self._fresh_until

    def read(self) -> None:
        """Who has a key once needs one for good: revoking the last key opens no door."""
        rows = self.rows()
        active = {row["hash"]: row["id"] for row in rows if row["revoked_at"] is None}
        self._known = self._plain | active
        self.are_needed = bool(rows or self._plain)
        self._fresh_until = time.monotonic() + _FRESH_S

    def find(self, key: str) -> str | None:
        """The id of a key that may come in."""
        return self._known.get(hash_key(key))

    def add(self, name: str) -> tuple[str, str]:
        """Returns the id and the key, which nobody can read again."""
        key_id, key = new_id("key-", 12), "sk-" + secrets.token_urlsafe(32)
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO keys (id, name, hash, hint, created_at) VALUES (?, ?, ?, ?, ?)",
                (key_id, name, hash_key(key), key[-4:], now()),
            )
        return key_id, key

    def revoke(self, key_id: str) -> None:
        """Raises UnknownKeyError. A key that was revoked already stays as it is."""
        with self._database.transaction() as db:
            done = db.execute(
                "UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?",
                (now(), key_id),
            )
            if not done.rowcount:
                raise UnknownKeyError(f"no key has the id {key_id}: `keys list` shows them all")

    def rows(self) -> list[sqlite3.Row]:
        return self._database.rows("SELECT * FROM keys ORDER BY seq")


def hash_key(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
