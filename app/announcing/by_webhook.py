"""Announcements by webhook, signed as Standard Webhooks are (https://www.standardwebhooks.com).

The `openai` package's `webhooks.verify_signature` and the libraries of that standard check it. The
id stays the same over all tries: a receiver that has seen it drops a repeated one.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from http import HTTPStatus

import httpx2

from app.announcing import NotSentError
from store import Announcement

TIMEOUT_S = 15.0
MOST_WAIT_S = 3600.0


class WebhookSender:
    """POSTs JSON: id, type, created_at, subject, text, data."""

    def __init__(self, secret: str | None) -> None:
        self._key = None if secret is None else _as_key(secret)

    async def send(self, announcement: Announcement, _picture: bytes | None) -> None:
        body = _write(announcement)
        headers = {"Content-Type": "application/json", **self._sign(announcement, body)}
        try:
            async with httpx2.AsyncClient(timeout=TIMEOUT_S) as client:
                answer = await client.post(announcement.recipient, content=body, headers=headers)
        except httpx2.HTTPError as error:
            raise NotSentError(f"{type(error).__name__}: {error}") from error
        if not answer.is_success:
            raise NotSentError(
                f"the webhook answered {answer.status_code}",
                is_permanent=answer.status_code == HTTPStatus.GONE,
                retry_after_s=_retry_after(answer),
            )

    def _sign(self, announcement: Announcement, body: bytes) -> dict[str, str]:
        id_, at = _id(announcement), str(int(time.time()))
        headers = {"webhook-id": id_, "webhook-timestamp": at}
        if self._key is not None:
            signed = hmac.digest(self._key, f"{id_}.{at}.".encode() + body, hashlib.sha256)
            headers["webhook-signature"] = f"v1,{base64.b64encode(signed).decode()}"
        return headers


def _write(announcement: Announcement) -> bytes:
    told = {
        "id": _id(announcement),
        "type": announcement.data.get("type", announcement.key),
        "created_at": int(announcement.created_at.timestamp()),
        "subject": announcement.subject,
        "text": announcement.text,
        "data": announcement.data,
    }
    return json.dumps(told, ensure_ascii=False).encode()


def _id(announcement: Announcement) -> str:
    return f"nod_{announcement.id}_{int(announcement.created_at.timestamp())}"


def _as_key(secret: str) -> bytes:
    """A secret in the standard's form is base64 after `whsec_`; any other counts as it stands."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


def _retry_after(answer: httpx2.Response) -> float | None:
    asked = answer.headers.get("retry-after", "")
    return min(float(asked), MOST_WAIT_S) if asked.isdigit() else None
