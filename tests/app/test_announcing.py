"""Announcements reach operators by Telegram, e-mail and webhook: each once, whatever fails."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest
from PIL import Image
from sqlalchemy import select, update

from app.announcing import Announcer
from app.announcing.senders import open_announcer
from app.settings import Settings, SettingsError, load_settings
from finetune.announce import Recipients, announce, announce_run
from store import (
    Announcement,
    Database,
    Run,
    RunEvent,
    RunState,
    User,
    UserRole,
    Via,
    utc_now,
)
from tests.app.mailbox import Mailbox, open_mailbox
from tests.bot.telegram_server import TOKEN, TelegramServer, telegram_server
from tests.loopback import Answering, serving

SECRET = "whsec_c2VjcmV0LW9mLWEtd2ViaG9vaw=="


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with open_mailbox() as box:
        yield box


@dataclass
class Hook:
    url: str
    calls: list[tuple[dict[str, str], bytes]]
    answers: list[tuple[int, dict[str, str]]]


@contextmanager
def webhook_receiver() -> Iterator[Hook]:
    calls: list[tuple[dict[str, str], bytes]] = []
    answers: list[tuple[int, dict[str, str]]] = []

    class Handler(Answering):
        def do_POST(self) -> None:
            body = self.read_body()
            calls.append(({key.lower(): value for key, value in self.headers.items()}, body))
            status, headers = answers.pop(0) if answers else (200, {})
            self.answer(status, headers=headers)

    with serving(Handler) as url:
        yield Hook(f"{url}/hook", calls, answers)


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramServer]:
    async with telegram_server() as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path, mailbox: Mailbox, telegram: TelegramServer, hook: Hook) -> Settings:
    return load_settings(
        home=tmp_path,
        telegram_token=TOKEN,
        telegram_base_url=telegram.url,
        announce_emails="ada@shop.example",
        smtp_url=f"smtp://nod:s3cret%40@127.0.0.1:{mailbox.port}",
        smtp_from="Nod <nod@shop.example>",
        announce_webhook_url=hook.url,
        announce_webhook_secret=SECRET,
    )


@pytest.fixture
async def announcer(database: Database, settings: Settings) -> AsyncIterator[Announcer]:
    async with open_announcer(settings, database) as announcer:
        yield announcer


async def end_run(database: Database, recipients: Recipients, *, losses: int = 3) -> Run:
    async with database.write() as session:
        for name, role, number in (("ada", UserRole.operator, 11), ("rita", UserRole.reviewer, 12)):
            session.add(User(name=name, password_hash="-", role=role, telegram_id=number))
        run = Run(trigger="command", base_model="smol", is_active=False, state=RunState.refused)
        session.add(run)
        await session.flush()
        for step in range(losses):
            data = {"step": step + 1, "train_loss": 2 / (step + 1), "valid_loss": 2.1 / (step + 1)}
            session.add(RunEvent(run_id=run.id, message=f"Step {step}", data=data))
        await announce_run(session, recipients, run, RunState.refused, "not better")
        await announce_run(session, recipients, run, RunState.refused, "not better")
    return run


async def rows(database: Database) -> dict[Via, Announcement]:
    async with database.read() as session:
        return {row.via: row for row in await session.scalars(select(Announcement))}


async def send_all(announcer: Announcer) -> None:
    async with asyncio.timeout(30):
        while await announcer.step():
            pass


def everybody(hook: Hook) -> Recipients:
    return Recipients(emails=("ada@shop.example",), webhook_url=hook.url, has_telegram=True)


async def make_due(database: Database) -> None:
    async with database.write() as session:
        await session.execute(update(Announcement).values(due_at=utc_now()))


async def test_an_end_is_told_once_by_every_way_with_the_loss_as_a_picture(
    database: Database,
    announcer: Announcer,
    mailbox: Mailbox,
    telegram: TelegramServer,
    hook: Hook,
) -> None:
    run = await end_run(database, everybody(hook))
    await send_all(announcer)
    await make_due(database)
    assert not await announcer.step(), "what is sent is never sent again"

    [letter] = mailbox.letters
    assert letter["To"] == "ada@shop.example"
    assert letter["Subject"] == f"Nod: Run {run.id} is refused"
    text, picture = letter.get_payload()
    assert "not better" in text.get_payload()
    image = Image.open(io.BytesIO(picture.get_payload(decode=True)))
    assert image.format == "PNG"
    assert len(image.convert("RGB").getcolors(1_000_000) or []) > 3, "there is something on it"

    [photo] = telegram.called("sendPhoto")
    assert photo["chat_id"] == 11, "operators, not reviewers"
    assert "not better" in photo["caption"]
    assert photo["photo"].startswith(b"\x89PNG")

    [(headers, body)] = hook.calls
    told = json.loads(body)
    assert told["type"] == "run.refused"
    assert told["data"]["run"] == run.id
    client = openai.OpenAI(api_key="none")
    client.webhooks.verify_signature(body, headers, secret=SECRET)
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.verify_signature(body + b" ", headers, secret=SECRET)

    assert all(row.sent_at and not row.is_open for row in (await rows(database)).values())


async def test_a_way_that_fails_is_tried_again_and_holds_the_others_up_in_nothing(
    database: Database,
    announcer: Announcer,
    mailbox: Mailbox,
    telegram: TelegramServer,
    hook: Hook,
) -> None:
    mailbox.refusals.append("451 try later")
    telegram.refuse("sendPhoto", 429, "Too Many Requests", retry_after=7)
    hook.answers.append((503, {"retry-after": "9"}))
    await end_run(database, everybody(hook))
    await send_all(announcer)
    waiting = await rows(database)
    assert all(row.is_open and row.attempts == 1 for row in waiting.values())
    assert "451" in (waiting[Via.email].error or "")
    for via, seconds in ((Via.telegram, 7), (Via.webhook, 9)):
        wait = (waiting[via].due_at - utc_now()).total_seconds()
        assert seconds - 5 < wait <= seconds, "as long as was asked for"
    await make_due(database)
    await send_all(announcer)
    assert all(row.sent_at for row in (await rows(database)).values())
    assert len(mailbox.letters) == len(telegram.called("sendPhoto")) - 1 == 1
    ids = [headers["webhook-id"] for headers, _ in hook.calls]
    assert len(ids) == 2
    assert len(set(ids)) == 1, "a receiver knows the second one"


async def test_what_never_will_be_taken_is_given_up_with_its_reason(
    database: Database,
    announcer: Announcer,
    telegram: TelegramServer,
    hook: Hook,
) -> None:
    telegram.refuse("sendPhoto", 403, "Forbidden: bot was blocked by the user")
    hook.answers.append((410, {}))
    recipients = Recipients(
        emails=("nobody@shop.example",), webhook_url=hook.url, has_telegram=True
    )
    await end_run(database, recipients)
    await send_all(announcer)
    given_up = await rows(database)
    assert not any(row.is_open or row.sent_at for row in given_up.values())
    assert "blocked" in (given_up[Via.telegram].error or "")
    assert "no such person" in (given_up[Via.email].error or "")
    assert "410" in (given_up[Via.webhook].error or "")


async def test_one_that_was_sent_and_not_marked_comes_again_under_the_same_id(
    database: Database, announcer: Announcer, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    await end_run(database, Recipients(emails=("ada@shop.example",)))

    class Killed(BaseException):
        pass

    async def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Announcer, "_mark", die)
        with pytest.raises(Killed):
            await announcer.step()
    assert not await announcer.step(), "not before its claim has lapsed"
    await make_due(database)
    await send_all(announcer)
    first, second = mailbox.letters
    assert first["Message-ID"] == second["Message-ID"]


async def test_a_run_without_a_curve_is_told_in_words(
    database: Database, announcer: Announcer, telegram: TelegramServer
) -> None:
    await end_run(database, Recipients(has_telegram=True), losses=1)
    await send_all(announcer)
    assert "is refused" in telegram.texts_in(11)[0]


async def test_two_announcers_send_one_row_once(
    database: Database, announcer: Announcer, settings: Settings, mailbox: Mailbox
) -> None:
    async with database.write() as session:
        for number in range(6):
            await announce(
                session,
                Recipients(emails=("ada@shop.example",)),
                key=f"model.dark.{number}",
                subject=f"Model {number} goes dark",
                text="...",
                data={},
            )
    async with open_announcer(settings, database) as other:
        await asyncio.gather(send_all(announcer), send_all(other))
    assert len({letter["Subject"] for letter in mailbox.letters}) == len(mailbox.letters) == 6


async def test_rows_for_a_way_that_is_not_set_up_wait(
    database: Database, tmp_path: Path, hook: Hook
) -> None:
    await end_run(database, everybody(hook))
    async with open_announcer(load_settings(home=tmp_path), database) as announcer:
        await send_all(announcer)
    waiting = await rows(database)
    assert waiting[Via.webhook].sent_at
    assert waiting[Via.email].is_open
    assert waiting[Via.email].attempts == 0


@pytest.mark.parametrize("url", ["mail.example:587", "http://mail.example", "smtp://"])
def test_a_wrong_smtp_url_is_named_and_not_shown(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError, match=r"NOD_SMTP_URL=\(not shown\): give smtp://"):
        load_settings(home=tmp_path, smtp_url=url)


def test_e_mails_need_a_server(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="needs NOD_SMTP_URL"):
        load_settings(home=tmp_path, announce_emails="ada@shop.example")
