"""Names of objects: a prefix and letters that can't be guessed or follow from a source."""

import hashlib
import secrets
import string
import time

_LETTERS = string.ascii_letters + string.digits


def new_id(prefix: str, length: int = 24) -> str:
    """A fresh id such as `file-3kq…`."""
    return prefix + "".join(secrets.choice(_LETTERS) for _ in range(length))


def derived_id(prefix: str, *source: object) -> str:
    """The same id for the same source, so that what is written twice is one row."""
    digest = hashlib.sha256("\x1f".join(map(str, source)).encode()).hexdigest()
    return prefix + digest[:24]


def now() -> int:
    """Unix seconds, UTC: what the API writes as `created_at`."""
    return int(time.time())
