"""Guards of our own web pages: who may post here, and what a browser may load."""

from collections.abc import Mapping
from urllib.parse import urlsplit

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
"""For every page; what may be loaded differs and is each page's own policy."""

PLAIN_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the pages that we wrote by hand: nothing inline, nothing foreign."""


def is_same_origin(headers: Mapping[str, str]) -> bool:
    """Whether a request was made by a page of this very site.

    Browsers say so in `Sec-Fetch-Site`, older ones in `Origin`. A request with neither does not
    come from a page at all (curl, a test), so it carries nobody's cookies by accident.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")
