"""A whole Nod with the stub engine, running in a process of its own, and browsers to look at it."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from store import Database
from store.migrate import migrate

from .shop import PASSWORD, fill

ROOT = Path(__file__).resolve().parents[3]
CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
PATIENCE_MS = 25_000  # one machine may run everything at once
expect.set_options(timeout=PATIENCE_MS)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]


@dataclass(frozen=True)
class Running:
    """`url` is the web server's; `store_url` the database's, which tests may open as well."""

    url: str
    store_url: str


@pytest.fixture(scope="session")
def nod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`nod up` on a filled shop, shared by all tests of a session."""
    home = tmp_path_factory.mktemp("console-home")
    store_url = f"sqlite+aiosqlite:///{home / 'nod.db'}"
    asyncio.run(_fill(store_url))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NOD_")}
    environment |= {
        "NOD_HOME": str(home), "NOD_PORT": "0", "NOD_SAMPLE": "0", "NOD_MODEL_ENGINE": "stub",
        "PYTHONPATH": str(ROOT), "COLUMNS": "300",
        "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    with (home / "test.log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", "from app.main import run; run()", "up"],
            stdout=subprocess.PIPE, stderr=log, text=True, cwd=home, env=environment,
        )  # fmt: skip
        try:
            yield Running(_read_url(process, home / "test.log"), store_url)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
    said = (home / "test.log").read_text()
    assert "console_action_failed" not in said, said
    assert "Traceback" not in said, said


async def _fill(store_url: str) -> None:
    await migrate(store_url)
    database = Database(store_url)
    await fill(database)
    await database.close()


def _read_url(process: "subprocess.Popen[str]", log: Path) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"Web chat\s+(http://\S+?)/?\s*$", line):
            return found[1]
    raise AssertionError(f"nod up did not start: {log.read_text()[-3000:]}")


@pytest_asyncio.fixture(loop_scope="session")
async def shop(nod: Running) -> AsyncIterator[Database]:
    """The running program's database."""
    database = Database(nod.store_url)
    yield database
    await database.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One for all tests: each opens profiles of its own."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: browser tests are left out")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


OpenPage = Callable[..., Awaitable[Page]]


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(nod: Running, browser: Browser) -> AsyncIterator[OpenPage]:
    """`await open_page("/console/runs", as_="rita")`: a page in a browser profile of its own."""
    async with AsyncExitStack() as stack:

        async def open_(path: str, *, as_: str | None = None, **options: object) -> Page:
            context = await browser.new_context(base_url=nod.url, **options)  # type: ignore[arg-type]
            context.set_default_timeout(PATIENCE_MS)
            stack.push_async_callback(context.close)
            page = await context.new_page()
            await page.goto(path)
            if as_ is not None:
                await log_in(page, as_)
            return page

        yield open_


async def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    await page.fill("[name=name]", name)
    await page.fill("[name=password]", password)
    await page.click("button[type=submit]")
