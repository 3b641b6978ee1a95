"""An outage in the log: a database that is away is told in a line, as often as it is met.

Every loop of every process meets it, once a second and more; with a traceback each, an hour without
a database would fill a disk, and hide what else is wrong.
"""

import asyncio
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

AWAY = (OperationalError, InterfaceError, PoolTimeoutError)
MOST_CHARS = 300


def shorten_outage(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> Mapping[str, Any]:
    """Put one line in the place of the traceback, where the database is what was away."""
    error = _error_of(event.get("exc_info"))
    if error is None or not (outage := find_outage(error)):
        return event
    del event["exc_info"]
    event["event"] = str(event["event"]).strip()
    return {**event, "why": outage}


def find_outage(error: BaseException) -> str:
    """What is away, in a line; nothing if anything else went wrong as well."""
    if isinstance(error, BaseExceptionGroup):
        said = [find_outage(each) for each in error.exceptions]
        return said[0] if all(said) else ""
    if not isinstance(error, AWAY):
        return ""
    cause = error.orig if isinstance(error, DBAPIError) else error
    first = str(cause).strip().splitlines()[:1]
    return f"{type(error).__name__}: {' '.join(first)[:MOST_CHARS]}"


def _error_of(exc_info: object) -> BaseException | None:
    """As `logging` and structlog take it: an exception, the three of `sys.exc_info`, or true."""
    match exc_info:
        case BaseException():
            return exc_info
        case (_, BaseException() as error, _):
            return error
        case True:
            return sys.exc_info()[1]
    return None


def is_broken_off(exc_info: object) -> bool:
    """Whether what is told is a task that was told to end."""
    return isinstance(_error_of(exc_info), asyncio.CancelledError)
