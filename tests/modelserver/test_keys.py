"""API keys: who comes in, what is kept of a key, and how often its owner may ask."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from openai import AsyncOpenAI, AuthenticationError, RateLimitError

from modelserver.rate import RateLimit
from tests.modelserver.test_command import run
from tests.modelserver.training_jobs import Connect
from tests.modelserver_process import running_modelserver


def make_key(data_dir: Path, name: str) -> tuple[str, str]:
    """The key's id and the key."""
    made = run("keys", "add", name, "--data", str(data_dir))
    assert made.returncode == 0, made.stderr
    return made.stderr.split()[0], made.stdout.strip()


async def is_let_in(client: AsyncOpenAI) -> bool:
    try:
        await client.models.list()
    except AuthenticationError:
        return False
    return True


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_modelserver(tmp_path_factory.mktemp("open")) as server:
        yield server.url


async def wait_until_let_in(client: AsyncOpenAI, expected: bool) -> None:
    async with asyncio.timeout(30):
        while await is_let_in(client) is not expected:  # noqa: ASYNC110 (the server looks by itself)
            await asyncio.sleep(0.1)


async def test_keys_are_made_and_revoked_while_it_serves(tmp_path: Path, connect: Connect) -> None:
    with running_modelserver(tmp_path) as server:
        assert await is_let_in(connect(server.url))
        (one, first), (two, second) = make_key(tmp_path, "one"), make_key(tmp_path, "two")
        # Until it has seen the keys the door stands open to all.
        await wait_until_let_in(connect(server.url, "none"), False)
        assert await is_let_in(connect(server.url, first))
        assert await is_let_in(connect(server.url, second))
        assert run("keys", "revoke", one, "--data", str(tmp_path)).returncode == 0
        await wait_until_let_in(connect(server.url, first), False)
        assert await is_let_in(connect(server.url, second))
        # The last one's end opens the door for nobody.
        assert run("keys", "revoke", two, "--data", str(tmp_path)).returncode == 0
        await wait_until_let_in(connect(server.url, second), False)
        assert not await is_let_in(connect(server.url))


def test_a_key_is_kept_as_a_hash_and_listed_without_its_letters(tmp_path: Path) -> None:
    key_id, key = make_key(tmp_path, "laptop")
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert key_id.encode() in kept
    assert key.encode() not in kept
    shown = run("keys", "list", "--data", str(tmp_path)).stdout
    assert key_id in shown
    assert "laptop" in shown
    assert key[-4:] in shown
    assert key not in shown


def test_a_key_that_is_not_there_cannot_be_revoked(tmp_path: Path) -> None:
    run("keys", "add", "laptop", "--data", str(tmp_path))
    refused = run("keys", "revoke", "key-none", "--data", str(tmp_path))
    assert refused.returncode == 2
    assert "no key has the id key-none" in refused.stderr


async def test_beyond_this_machine_it_serves_with_a_key_alone(
    tmp_path: Path, connect: Connect
) -> None:
    _, key = make_key(tmp_path, "phone")
    with running_modelserver(tmp_path, "--host", "0.0.0.0") as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        assert await is_let_in(connect(url, key))
        async with httpx2.AsyncClient(base_url=url) as plain:
            for path in ("models", "files", "fine_tuning/jobs", "nowhere"):
                assert (await plain.get(path)).status_code == 401
            assert (await plain.post("chat/completions", content=b"{")).status_code == 401


async def test_each_key_has_a_rate_of_its_own(tmp_path: Path, connect: Connect) -> None:
    options = ("--api-key", "sk-one", "--api-key", "sk-two", "--requests-per-minute", "3")
    with running_modelserver(tmp_path, *options) as server:
        one, two = connect(server.url, "sk-one"), connect(server.url, "sk-two")
        for _ in range(3):
            await one.models.list()
        with pytest.raises(RateLimitError, match="3 requests a minute") as refused:
            await one.models.list()
        headers = refused.value.response.headers
        assert 1 <= int(headers["retry-after"]) <= 20
        assert headers["x-ratelimit-remaining-requests"] == "0"
        first = await two.models.with_raw_response.list()
        assert first.headers["x-ratelimit-remaining-requests"] == "2"


def test_a_bucket_fills_evenly_up_to_a_minutes_worth() -> None:
    clock = [0.0]
    rate = RateLimit(60, lambda: clock[0])
    assert [rate.take("me").wait_s for _ in range(60)] == [0] * 60
    refused = rate.take("me")
    assert (refused.wait_s, refused.remaining, refused.reset_s) == (1, 0, 60)
    clock[0] = 1.5
    assert rate.take("me").wait_s == 0
    assert rate.take("me").wait_s == pytest.approx(0.5)
    clock[0] = 3600
    assert rate.take("me").remaining == 59


@pytest.mark.parametrize(
    ("headers", "is_let_in"),
    [
        ({"Host": "localhost:8100"}, True),
        ({"Host": "[::1]:8100"}, True),
        ({"Host": "127.0.0.1", "Origin": "http://localhost:3000"}, True),
        ({"Host": "shop.example:8100"}, False),  # a name of theirs that resolves to us
        ({"Host": "127.0.0.1.shop.example"}, False),
        ({"Origin": "https://shop.example"}, False),  # a form of theirs that is sent to us
        ({"Origin": "null"}, False),
    ],
)
async def test_without_keys_no_page_of_others_comes_in_through_a_browser_here(
    headers: dict[str, str], is_let_in: bool, open_server: str
) -> None:
    async with httpx2.AsyncClient(base_url=open_server, headers=headers) as browser:
        answer = await browser.get("models")
    assert answer.status_code == (200 if is_let_in else 401)
    if not is_let_in:
        assert "keys add" in answer.json()["error"]["message"]


async def test_with_its_key_a_program_may_call_the_server_by_any_name(tmp_path: Path) -> None:
    headers = {"Host": "models.shop.example", "Authorization": "Bearer sk-one"}
    with running_modelserver(tmp_path, "--api-key", "sk-one") as server:
        async with httpx2.AsyncClient(base_url=server.url, headers=headers) as proxied:
            assert (await proxied.get("models")).status_code == 200
