"""Webhooks: the end of a job is a row before it is a request, and is posted until it was taken.

The form is that of https://www.standardwebhooks.com, which `client.webhooks.unwrap` of the
`openai` package verifies. A receiver may get the same event twice, by the same `webhook-id`.
"""

import base64
import binascii
import hashlib
import hmac
import json
import logging
import random
import sqlite3
import threading
import time
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx2

from modelserver.database import Database
from modelserver.ids import derived_id, now
from modelserver.jobs import tell

log = logging.getLogger(__name__)

_TIMEOUT_S = 10.0
_POLL_S = 0.5
_FIRST_WAIT_S = 2.0  # doubled with each attempt
_LONGEST_WAIT_S = 3600.0
_GIVE_UP_S = 72 * 3600  # as long as OpenAI tries

# Only where someone listens, and for this connection alone: whatever ends a job then writes the
# row in the same transaction.
_WATCH = """
CREATE TEMP TRIGGER webhook_at_the_end AFTER UPDATE OF status ON main.jobs
WHEN NEW.status IN ('succeeded', 'failed', 'cancelled') AND OLD.status <> NEW.status
BEGIN
    INSERT OR IGNORE INTO deliveries (job_id, type, created_at, next_at)
    VALUES (NEW.id, 'fine_tuning.job.' || NEW.status, unixepoch(), unixepoch());
END
"""


class WebhookError(ValueError):
    """The URL or the secret can't be used; the message says what would be right."""


class Webhooks:
    """One thread that posts what is due, oldest first."""

    def __init__(self, database: Database, *, url: str, secret: str) -> None:
        self._database = database
        self._url = _check_url(url)
        self._key = read_secret(secret)
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="webhooks")
        with database.transaction() as db:
            db.execute(_WATCH)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What was not delivered yet is at the next start."""
        self._is_stopping.set()
        self._thread.join()

    def _work(self) -> None:
        with httpx2.Client(timeout=_TIMEOUT_S, follow_redirects=False) as http:
            while not self._is_stopping.is_set():
                try:
                    delivery = self._next()
                    if delivery is not None:
                        self._deliver(http, delivery)
                        continue
                except sqlite3.Error:
                    log.exception("webhooks can't be read or noted; trying again")
                self._is_stopping.wait(_POLL_S)

    def _next(self) -> sqlite3.Row | None:
        return self._database.row(
            "SELECT * FROM deliveries WHERE ended_at IS NULL AND next_at <= ?"
            " ORDER BY next_at LIMIT 1",
            time.time(),
        )

    def _deliver(self, http: httpx2.Client, delivery: sqlite3.Row) -> None:
        problem, wait_s = self._post(http, delivery)
        if problem is None:
            self._end(delivery)
        elif now() - delivery["created_at"] >= _GIVE_UP_S:
            self._give_up(delivery, problem)
        else:
            self._put_off(delivery, problem, wait_s)

    def _post(self, http: httpx2.Client, delivery: sqlite3.Row) -> tuple[str | None, float | None]:
        """What went wrong, or None; and for how long the receiver asks to be left alone."""
        event_id = derived_id("evt_", delivery["job_id"], delivery["type"])
        body = json.dumps(_show_event(event_id, delivery)).encode()
        headers = {"Content-Type": "application/json"} | sign(self._key, event_id, now(), body)
        try:
            # Its body is of no interest, however long it is.
            with http.stream("POST", self._url, content=body, headers=headers) as answer:
                status, retry_after = answer.status_code, answer.headers.get("retry-after")
        except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError, OSError) as error:
            return type(error).__name__, None
        if 200 <= status < 300:
            return None, None
        return f"HTTP status {status}", _read_retry_after(retry_after)

    def _end(self, delivery: sqlite3.Row) -> None:
        log.info("webhook %s of %s delivered", delivery["type"], delivery["job_id"])
        with self._database.transaction() as db:
            db.execute(
                "UPDATE deliveries SET attempts = attempts + 1, ended_at = ? WHERE seq = ?",
                (now(), delivery["seq"]),
            )

    def _give_up(self, delivery: sqlite3.Row, problem: str) -> None:
        message = f"The webhook {delivery['type']} was not taken for three days: {problem}"
        log.error("job %s: %s", delivery["job_id"], message)
        with self._database.transaction() as db:
            db.execute(
                "UPDATE deliveries SET attempts = attempts + 1, ended_at = ? WHERE seq = ?",
                (now(), delivery["seq"]),
            )
            tell(db, delivery["job_id"], message, level="warn")

    def _put_off(self, delivery: sqlite3.Row, problem: str, wait_s: float | None) -> None:
        if wait_s is None:
            longest = min(_FIRST_WAIT_S * 2 ** delivery["attempts"], _LONGEST_WAIT_S)
            wait_s = longest * random.uniform(0.5, 1)
        else:
            wait_s = min(wait_s, _GIVE_UP_S) + random.uniform(0, 1)
        log.warning(
            "webhook %s of %s not taken (%s), again in %.0f s",
            delivery["type"],
            delivery["job_id"],
            problem,
            wait_s,
        )
        with self._database.transaction() as db:
            db.execute(
                "UPDATE deliveries SET attempts = attempts + 1, next_at = ? WHERE seq = ?",
                (time.time() + wait_s, delivery["seq"]),
            )


def sign(key: bytes, event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers by which a receiver knows that it comes from us, and when."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def read_secret(secret: str) -> bytes:
    """`whsec_` and the key in base64, as OpenAI gives them out. Raises WebhookError."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith("whsec_") or len(key) < 16:
        raise WebhookError(
            "--webhook-url needs the environment variable MODELSERVER_WEBHOOK_SECRET: `whsec_` "
            "and at least 16 random bytes in base64, the same as the receiver's. This makes one: "
            'echo "whsec_$(head -c 24 /dev/urandom | base64)"'
        )
    return key


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise WebhookError("--webhook-url: give a whole URL, as in https://example.com/hooks")
    return url


def _show_event(event_id: str, delivery: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": event_id,
        "object": "event",
        "created_at": delivery["created_at"],
        "type": delivery["type"],
        "data": {"id": delivery["job_id"]},
    }


def _read_retry_after(header: str | None) -> float | None:
    """Seconds, from either form of the header (RFC 9110, 10.2.3)."""
    if header is None:
        return None
    try:
        return float(header) if header.isdecimal() else _until(header)
    except (ValueError, TypeError):
        return None


def _until(date: str) -> float:
    return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
