"""The console's door over HTTP: cookies, other sites, guesses, and what ends a stay."""

import ast
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI, Request
from sqlalchemy import select

from app.console.guard import ConsoleGuard
from app.console.login import COOKIE, make_login_routes
from app.console.words import CHINESE
from app.users import set_disabled, set_password
from store import AuditEntry, Database, Login

from .shop import PASSWORD, add_users

CONSOLE = Path(__file__).resolve().parents[3] / "app" / "console"


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser before the guarded door; behind it stand pages that say who came."""
    await add_users(database)
    app = FastAPI()
    app.include_router(make_login_routes(database))
    app.add_middleware(ConsoleGuard, database=database)

    @app.api_route("/console/{path:path}", methods=["GET", "POST"])
    async def page(path: str, request: Request) -> str:
        await request.body()
        return f"inside {path}"

    @app.get("/consoles")
    async def elsewhere() -> str:
        return "not ours"

    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://shop.example") as client:
        yield client


async def log_in(
    client: httpx2.AsyncClient,
    password: str = PASSWORD,
    goal: str = "/console/",
    name: str = "rita",
) -> httpx2.Response:
    form = {"name": name, "password": password, "next": goal}
    return await client.post("/console/login", data=form)


async def is_inside(client: httpx2.AsyncClient) -> bool:
    return (await client.get("/console/runs")).status_code == 200


async def megabytes(count: int, taken: list[int]) -> AsyncIterator[bytes]:
    """A body whose length nobody knows before; `taken` counts what was read of it."""
    for number in range(count):
        taken.append(number)
        yield bytes(1_000_000)


@pytest.mark.parametrize(
    ("path", "most"), [("/console/_nicegui/client/x/upload/7", 53), ("/console/runs", 1)]
)
async def test_a_body_that_is_too_large_is_refused_while_it_comes_in(
    client: httpx2.AsyncClient, path: str, most: int
) -> None:
    await log_in(client)
    assert (await client.post(path, content=bytes(1_000))).status_code == 200
    taken: list[int] = []
    streamed = await client.post(path, content=megabytes(200, taken))
    assert streamed.status_code == 413
    assert "bytes are taken here" in streamed.text
    assert len(taken) <= most + 1
    announced = await client.post(path, content=b"", headers={"content-length": "99999999"})
    assert announced.status_code == 413


async def test_a_stranger_is_sent_to_the_door_and_back_to_the_page_he_wanted(
    client: httpx2.AsyncClient,
) -> None:
    refused = await client.get("/console/runs/1?tab=x")
    assert refused.status_code == 303
    assert refused.headers["location"] == "/console/login?next=/console/runs/1%3Ftab%3Dx"
    assert (await client.post("/console/_nicegui/client/x/upload/1")).status_code == 401
    assert (await client.get("/console/_nicegui_ws/socket.io/")).status_code == 401
    assert (await client.get("/consoles")).text == '"not ours"'
    entered = await log_in(client, goal="/console/runs/1?tab=x")
    assert entered.headers["location"] == "/console/runs/1?tab=x"
    assert await is_inside(client)


async def test_the_cookie_is_kept_from_scripts_and_other_sites_and_not_in_the_store(
    client: httpx2.AsyncClient, database: Database
) -> None:
    cookie = (await log_in(client)).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/console" in cookie
    async with database.read() as session:
        stored = await session.scalar(select(Login.token_sha256))
    assert stored != client.cookies[COOKIE]


async def test_pages_may_not_be_framed_or_kept(client: httpx2.AsyncClient) -> None:
    form = await client.get("/console/login")
    assert "'unsafe" not in form.headers["content-security-policy"]
    await log_in(client)
    page = await client.get("/console/runs")
    for response in (form, page):
        assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
        assert response.headers["x-frame-options"] == "DENY"
        assert response.headers["cache-control"] == "no-store"


async def test_a_request_from_another_site_is_refused_whoever_sends_it(
    client: httpx2.AsyncClient,
) -> None:
    await log_in(client)
    for headers in (
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
    ):
        for path in ("/console/logout", "/console/login", "/console/_nicegui/client/x/upload/1"):
            assert (await client.post(path, headers=headers)).status_code == 403
    assert await is_inside(client)


async def test_the_door_leads_nowhere_else(client: httpx2.AsyncClient) -> None:
    for goal in (
        "https://evil.example/",
        "//evil.example",
        "/console/\\evil",
        "/",
        "/console/login",
    ):
        assert (await log_in(client, goal=goal)).headers["location"] == "/console/"


async def test_guessing_is_slowed_down_and_names_are_not_told(client: httpx2.AsyncClient) -> None:
    wrong = await log_in(client, "guess")
    unknown = await log_in(client, "guess", name="nobody")
    assert wrong.status_code == unknown.status_code == 401
    assert COOKIE not in client.cookies
    answers = [await log_in(client, "guess") for _ in range(6)]
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert (await log_in(client)).status_code == 429


async def test_what_is_typed_into_the_form_comes_back_as_text(client: httpx2.AsyncClient) -> None:
    answer = await log_in(client, "guess", name='"><script>alert(1)</script>')
    assert "<script" not in answer.text
    assert "&lt;script&gt;" in answer.text


@pytest.mark.parametrize("end", ["log out", "new password", "shut out"])
async def test_a_stay_ends_at_once(
    client: httpx2.AsyncClient, database: Database, end: str
) -> None:
    await log_in(client)
    token = client.cookies[COOKIE]
    assert await is_inside(client)
    if end == "log out":
        await client.post("/console/logout")
    elif end == "new password":
        await set_password(database, "rita", "another password", who="olga")
    else:
        async with database.write() as session:
            await set_disabled(session, "rita", True, who="olga")
    client.cookies.set(COOKIE, token, domain="shop.example", path="/console")
    assert not await is_inside(client)


async def test_each_way_in_is_logged(client: httpx2.AsyncClient, database: Database) -> None:
    await log_in(client)
    async with database.read() as session:
        entry = await session.scalar(select(AuditEntry).where(AuditEntry.action == "log_in"))
    assert entry is not None
    assert entry.who == "rita"


async def test_only_known_preferences_are_kept(client: httpx2.AsyncClient) -> None:
    await client.get("/console/prefer?key=language&value=zh&back=/console/login")
    assert "登录" in (await client.get("/console/login")).text
    await client.get("/console/prefer?key=language&value=<x>&back=/console/login")
    await client.get("/console/prefer?key=admin&value=yes")
    assert client.cookies.get("nod_language") == "zh"
    assert "nod_admin" not in client.cookies


def test_every_sentence_of_the_console_has_its_chinese_one() -> None:
    said = {
        node.args[0].value
        for path in CONSOLE.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) == "say"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    assert len(said) > 100
    assert sorted(sentence for sentence in said if sentence not in CHINESE) == []
