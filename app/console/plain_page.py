"""The plain pages, without the framework: the login, and what is shown where there is no page."""

from html import escape

from fastapi import Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import HTMLResponse, Response
from nicegui import app as console
from starlette.exceptions import HTTPException

from app.console.words import Language, choose_language, translate
from bot.channels.web_guard import PLAIN_PAGE_POLICY, SECURITY_HEADERS

PLAIN_HEADERS = {
    **SECURITY_HEADERS,
    "Content-Security-Policy": PLAIN_PAGE_POLICY,
    "Cache-Control": "no-store",
}
_LANG = {Language.en: "en", Language.zh: "zh-CN"}


def plain_html(language: Language, title: str, body: str) -> str:
    """A whole page around `body`, which is HTML; `title` is text."""
    return f"""<!doctype html>
<html lang="{_LANG[language]}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{escape(title)} · Nod</title>
<link rel="icon" href="/console/look/mark.svg">
<link rel="stylesheet" href="/console/look/style.css">
</head><body class="door"><main>
<img src="/console/look/mark.svg" width="44" height="44" alt="">
{body}
</main></body></html>"""


def add_lost_page() -> None:
    """Answer for addresses below /console that lead nowhere; programs get JSON as elsewhere."""
    console.add_exception_handler(404, _show_lost)


async def _show_lost(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and "text/html" not in request.headers.get("accept", ""):
        return await http_exception_handler(request, error)
    language = choose_language(request.headers, request.cookies)

    def say(english: str) -> str:
        return escape(translate(language, english))

    body = (
        f"<h1>{say('There is no such page')}</h1>"
        f'<p><a class="button main" href="/console/">{say("To the review queue")}</a></p>'
    )
    page = plain_html(language, translate(language, "There is no such page"), body)
    return HTMLResponse(page, 404, headers=PLAIN_HEADERS)
