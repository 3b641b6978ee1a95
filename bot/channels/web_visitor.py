"""The visitor of the web chat: a browser that keeps a secret in a cookie."""

import hashlib
import re
import secrets

from fastapi import Request
from fastapi.responses import Response

COOKIE = "nod_visitor"
COOKIE_DAYS = 400  # the most that browsers keep

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


def address_of(request: Request) -> str | None:
    """The visitor's address; none where the browser sent no secret.

    It is a hash: who reads it in the console or in a log cannot take the visitor's place.
    """
    secret = _secret(request)
    if secret is None:
        return None
    return hashlib.sha256(f"nod web visitor {secret}".encode()).hexdigest()[:40]


def ip_of(request: Request) -> str:
    """Where the request comes from; behind a proxy on this machine, what the proxy says."""
    return request.client.host if request.client else "unknown"


def keep_visitor(request: Request, response: Response) -> None:
    """Give a new visitor a secret, and a known one some more time."""
    # Lax, not strict: who follows a link to the chat is to find the conversation again.
    response.set_cookie(
        COOKIE,
        _secret(request) or secrets.token_urlsafe(32),
        max_age=COOKIE_DAYS * 86_400,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )


def _secret(request: Request) -> str | None:
    secret = request.cookies.get(COOKIE, "")
    return secret if _SECRET.fullmatch(secret) else None
