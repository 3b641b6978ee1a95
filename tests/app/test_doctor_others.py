"""`nod doctor` tries what Nod asks or tells elsewhere: trainer, judge, e-mail, webhook."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from openai import AsyncOpenAI
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from app.command_line import app
from app.doctor import Finding, State
from app.doctor.announcing import check_email, check_webhook
from app.doctor.endpoints import check_judge, check_trainer
from app.doctor.machine import check_port
from app.settings import Settings
from tests.app.mailbox import open_mailbox
from tests.loopback import Answering, serving

AWAY = "http://127.0.0.1:9"
Check = Callable[..., Settings]


@pytest.fixture
def settings(tmp_path: Path) -> Check:
    return lambda **given: Settings(home=tmp_path, **given)


@pytest.fixture
def nowhere() -> Iterator[str]:
    """Where something listens that speaks no HTTP, and hears what it is told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


class Nod(Answering):
    """The web server of a Nod that shares its data folder with other processes."""

    def do_GET(self) -> None:
        self.answer(200, b'{"status": "ok", "models": "elsewhere"}')


def smtp(user: str, port: int, kind: str = "smtp") -> SecretStr:
    return SecretStr(f"{kind}://{user}127.0.0.1:{port}")


def is_ill(found: Finding, said: str, mend: str) -> bool:
    assert found.state is State.ill, found
    return said in found.said and mend in found.mend


async def ask_trainer(url: str) -> Finding:
    async with AsyncOpenAI(base_url=url, api_key="none") as client:
        return await check_trainer(client)


class Bare(Answering):
    """An endpoint that trains nothing."""

    def do_GET(self) -> None:
        self.answer(404, b"{}")


class Locked(Answering):
    """One that does not know the key."""

    def do_GET(self) -> None:
        self.answer(401, b'{"error": {"message": "no such key"}}')


async def test_a_trainer_is_asked_for_its_jobs(
    modelserver_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await ask_trainer(modelserver_url)).state is State.well
    assert is_ill(await ask_trainer(AWAY), AWAY, "NOD_TRAINER_BASE_URL")
    with serving(Bare) as url:
        assert is_ill(await ask_trainer(url), "trains nothing", "NOD_TRAINER_BASE_URL")
    with serving(Locked) as url:
        assert is_ill(await ask_trainer(url), "no such key", "NOD_TRAINER_API_KEY")


async def test_a_judge_is_asked_for_a_word(settings: Check, modelserver_url: str) -> None:
    async with AsyncOpenAI(base_url=modelserver_url, api_key="none") as client:
        known = settings(judge_model="smollm2-135m-instruct")
        assert (await check_judge(known, client)).state is State.well
        unknown = await check_judge(settings(judge_model="gpt-9"), client)
        assert is_ill(unknown, "gpt-9", "NOD_JUDGE_MODEL")
        idle = await check_judge(settings(judge_base_url=modelserver_url), client)
        assert (idle.state, "NOD_JUDGE_MODEL" in idle.mend) == (State.odd, True)


async def test_an_smtp_server_is_greeted_and_gets_no_letter(settings: Check) -> None:
    async with open_mailbox() as box:
        named = {"announce_emails": "ada@shop.example"}
        well = await check_email(settings(smtp_url=smtp("nod:s3cret%40@", box.port), **named))
        assert (well.state, well.said) == (State.well, f"127.0.0.1:{box.port} answers and knows us")
        wrong = await check_email(settings(smtp_url=smtp("nod:hunter2@", box.port), **named))
        assert is_ill(wrong, "refuses them (535)", "USER and PASSWORD in NOD_SMTP_URL")
        assert "hunter2" not in f"{wrong}"
        plain = await check_email(settings(smtp_url=smtp("", box.port, "smtps"), **named))
        assert is_ill(plain, "no TLS", "smtps:// is for port 465")
        idle = await check_email(settings(smtp_url=smtp("nod:s3cret%40@", box.port)))
        assert (idle.state, idle.mend) == (State.odd, "set NOD_ANNOUNCE_EMAILS")
        assert box.letters == []
    away = await check_email(settings(smtp_url=smtp("nod:hunter2@", 9), **named))
    assert is_ill(away, "127.0.0.1:9 does not answer", "correct NOD_SMTP_URL")
    assert (await check_email(settings())).said == "off"


async def test_a_password_that_cuts_the_smtp_url_in_two_is_not_shown(settings: Check) -> None:
    found = await check_email(settings(smtp_url=SecretStr("smtp://nod:hunter2/x@mail.example")))
    assert is_ill(found, "no number for a port", "write / as %2F")
    assert "hunter2" not in f"{found}"


async def test_a_webhook_is_connected_to_and_gets_no_request(
    settings: Check, nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    well = await check_webhook(settings(announce_webhook_url=f"http://{nowhere}/s3cret"))
    assert (well.state, well.said) == (State.well, f"{nowhere} takes connections; not signed")
    away = await check_webhook(settings(announce_webhook_url=f"{AWAY}/s3cret"))
    assert is_ill(away, "127.0.0.1:9 takes no connection", "correct NOD_ANNOUNCE_WEBHOOK_URL")
    assert "s3cret" not in f"{well} {away}"
    unknown = await check_webhook(settings(announce_webhook_url="https://shop.invalid/hook"))
    assert is_ill(unknown, "shop.invalid:443", "correct NOD_ANNOUNCE_WEBHOOK_URL")
    assert (await check_webhook(settings())).said == "off"


@pytest.mark.parametrize(
    "url", ["shop.example/hook", "ftp://shop.example/x", "http://", "http://h:x/"]
)
async def test_what_is_no_address_of_a_webhook_is_told(settings: Check, url: str) -> None:
    found = await check_webhook(settings(announce_webhook_url=url))
    assert is_ill(found, "NOD_ANNOUNCE_WEBHOOK_URL", "https://HOST/PATH")


@pytest.mark.parametrize(
    ("secret", "state", "said"),
    [
        ("whsec_c2VjcmV0", State.well, "; signed"),
        ("any words", State.well, "; signed"),
        ("whsec_?", State.odd, "not in base64"),
    ],
)
async def test_a_webhooks_secret_is_looked_at(
    settings: Check, nowhere: str, secret: str, state: State, said: str
) -> None:
    given = {"announce_webhook_url": f"http://{nowhere}/", "announce_webhook_secret": secret}
    found = await check_webhook(settings(**given))
    assert found.state is state
    assert said in found.said
    assert secret not in f"{found}"


def test_the_doctor_names_each_that_is_configured(
    tmp_path: Path, modelserver_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    given = {
        "HOME": str(tmp_path / "nod"),
        "PORT": "0",
        "MODEL_BASE_URL": modelserver_url,
        "TRAINER_BASE_URL": f"{AWAY}/v1",
        "JUDGE_MODEL": "gpt-9",
        "SMTP_URL": "smtp://127.0.0.1:9",
        "ANNOUNCE_WEBHOOK_URL": AWAY,
    }
    environment = {f"NOD_{key}": value for key, value in given.items()}
    result: Result = CliRunner().invoke(app, ["doctor"], env=environment)
    assert result.exit_code == 1
    ill = [line for line in result.output.splitlines() if line.startswith("ill")]
    for what in ("trainer", "judge", "e-mail", "webhook"):
        assert sum(line[6:].startswith(what) for line in ill) == 1, result.output


@pytest.mark.parametrize(
    ("who", "state", "said"),
    [(Nod, State.well, "Nod answers at"), (Bare, State.ill, "in use")],
)
async def test_a_port_that_is_taken_is_well_where_nod_itself_has_it(
    who: type[Answering], state: State, said: str, settings: Check
) -> None:
    with serving(who) as url:
        found = await check_port(settings(port=int(url.rsplit(":", 1)[1])), None)
    assert found.state is state
    assert said in found.said
