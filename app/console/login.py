"""The way in and out: a form, a cookie, and a row that can be ended.

The cookie holds a secret whose hash is the row's key; so a stolen database opens no door, and
logging out, a new password or a disabled user end a stay at once, in every process.
"""

import hashlib
import secrets
from datetime import timedelta
from html import escape
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import delete, select

from app.console.plain_page import PLAIN_HEADERS, plain_html
from app.console.words import Language, choose_language, translate
from app.door import Door, LoginError, entered_from
from store import Database, Login, User, utc_now

COOKIE = "nod_console"
TOO_MANY = "Too many failures: try again in {n} s."
STAY = timedelta(days=7)
HOME = "/console/"


async def read_user(database: Database, token: str | None) -> User | None:
    """The user whose stay the cookie's secret opens, if it lasts."""
    if not token:
        return None
    stays = (
        select(User)
        .join(Login, Login.user_id == User.id)
        .where(
            Login.token_sha256 == _hash(token),
            Login.expires_at > utc_now(),
            User.disabled_at.is_(None),
        )
    )
    async with database.read() as session:
        return await session.scalar(stays)


def make_login_routes(database: Database) -> APIRouter:
    """The routes /console/login, /console/logout and those that choose language and colours."""
    router = APIRouter(prefix="/console", include_in_schema=False)
    door = Door(database)

    @router.get("/login")
    async def show_form(request: Request, next: str = HOME) -> Response:
        if await read_user(database, request.cookies.get(COOKIE)):
            return RedirectResponse(_inside(next), 303)
        return _form(request, goal=next)

    @router.post("/login")
    async def enter(request: Request) -> Response:
        form = await request.form(max_files=0, max_fields=5, max_part_size=4096)
        name, password, goal = (str(form.get(key, "")) for key in ("name", "password", "next"))
        try:
            user = await door.enter(name, password, _ip(request))
        except LoginError as error:
            return _form(request, goal=goal, name=name, error=error)
        token = await _begin(database, user, _ip(request))
        response = RedirectResponse(_inside(goal), 303, headers=PLAIN_HEADERS)
        # Lax: a link from a chat opens the queue. Every change needs a same-origin request too.
        response.set_cookie(
            COOKIE,
            token,
            max_age=int(STAY.total_seconds()),
            path="/console",
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return response

    @router.post("/logout")
    async def leave(request: Request) -> Response:
        await _end(database, request.cookies.get(COOKIE, ""))
        response = RedirectResponse("/console/login", 303, headers=PLAIN_HEADERS)
        response.delete_cookie(COOKIE, path="/console")
        return response

    @router.get("/prefer")
    async def prefer(key: str, value: str, back: str = HOME) -> Response:
        response = RedirectResponse(_inside(back), 303, headers=PLAIN_HEADERS)
        if value in PREFERENCES.get(key, ()):
            year_s = 365 * 86_400
            response.set_cookie(
                f"nod_{key}", value, max_age=year_s, path="/console", httponly=True, samesite="lax"
            )
        return response

    return router


PREFERENCES = {"language": ("en", "zh"), "colours": ("system", "light", "dark")}


async def _begin(database: Database, user: User, address: str) -> str:
    token = secrets.token_urlsafe(32)
    async with database.write() as session:
        await session.execute(delete(Login).where(Login.expires_at <= utc_now()))
        session.add(Login(token_sha256=_hash(token), user_id=user.id, expires_at=utc_now() + STAY))
        session.add(entered_from(user, address))
    return token


async def _end(database: Database, token: str) -> None:
    async with database.write() as session:
        await session.execute(delete(Login).where(Login.token_sha256 == _hash(token)))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _inside(goal: str) -> str:
    """A page of the console: nobody is sent elsewhere by a link to our own form."""
    is_ours = goal.startswith(HOME) and "\\" not in goal and goal.isprintable()
    return quote(goal, safe="/?=&%-_.~") if is_ours and "/login" not in goal else HOME


def _ip(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _form(
    request: Request, *, goal: str, name: str = "", error: LoginError | None = None
) -> Response:
    language = choose_language(request.headers, request.cookies)
    status, headers = 200, dict(PLAIN_HEADERS)
    if error is not None:
        status = 401
    if error is not None and error.retry_after_s is not None:
        status, headers["Retry-After"] = 429, str(max(1, round(error.retry_after_s)))
    return HTMLResponse(_form_html(language, goal, name, error), status, headers=headers)


def _form_html(language: Language, goal: str, name: str, error: LoginError | None) -> str:
    def say(english: str) -> str:
        return escape(translate(language, english))

    problem = ""
    if error is not None:
        words = TOO_MANY if error.retry_after_s is not None else str(error)
        said = say(words).format(n=round(error.retry_after_s or 0))
        problem = f'<p class="problem" role="alert">{said}</p>'
    first = "" if name else " autofocus"
    second = " autofocus" if name else ""
    body = f"""<h1>Nod</h1>
<p class="muted">{say("The bot that learns from the replies you approve.")}</p>
<form method="post" action="/console/login">{problem}
<input type="hidden" name="next" value="{escape(goal)}">
<label>{say("Name")}<input name="name" value="{escape(name)}" autocomplete="username"
 maxlength="64" required{first}></label>
<label>{say("Password")}<input name="password" type="password" autocomplete="current-password"
 maxlength="1024" required{second}></label>
<button class="button main" type="submit">{say("Log in")}</button></form>"""
    return plain_html(language, translate(language, "Log in"), body)
