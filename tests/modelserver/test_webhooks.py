"""Whoever ends a job, its receiver learns of it: signed, at least once, also after a kill."""

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, InvalidWebhookSignatureError

from modelserver.database import Database
from modelserver.webhooks import WebhookError, Webhooks
from tests.modelserver.test_command import run
from tests.modelserver.training_jobs import (
    BASE,
    PAIRS,
    Connect,
    lines_of,
    until,
    upload,
    wait_for,
)
from tests.modelserver.webhook_receiver import Receiver, running_receiver
from tests.modelserver_process import running_modelserver, start_modelserver

SECRET = "whsec_" + "c2l4dGVlbiBieXRlcyBhbmQgbW9yZQ=="
SECRETS = {"MODELSERVER_WEBHOOK_SECRET": SECRET}


async def got(receiver: Receiver, count: int) -> list[Any]:
    """The events of the first `count` requests, as the official client reads them."""

    async def has_come() -> bool:
        return len(receiver.got) >= count

    await until(has_come)
    client = AsyncOpenAI(api_key="none", webhook_secret=SECRET)
    return [client.webhooks.unwrap(body, headers) for body, headers in receiver.got]


async def test_each_end_of_a_job_is_told_once_and_signed(tmp_path: Path, connect: Connect) -> None:
    with (
        running_receiver() as receiver,
        running_modelserver(tmp_path, "--webhook-url", receiver.url, environment=SECRETS) as server,
    ):
        client = connect(server.url)
        good = await upload(client, lines_of(PAIRS))
        bad = await upload(client, lines_of(PAIRS) + b"\n{}")
        jobs = [await client.fine_tuning.jobs.create(model=BASE, training_file=good)]
        await wait_for(client, jobs[0].id)
        jobs += [
            await client.fine_tuning.jobs.create(model=BASE, training_file=file)
            for file in (bad, good)
        ]
        await client.fine_tuning.jobs.cancel(jobs[2].id)
        events = await got(receiver, 3)
    told = {event.data.id: event.type for event in events}
    assert told == {
        jobs[0].id: "fine_tuning.job.succeeded",
        jobs[1].id: "fine_tuning.job.failed",
        jobs[2].id: "fine_tuning.job.cancelled",
    }
    assert len(events) == len({event.id for event in events}) == 3
    assert "sesame" not in (tmp_path / "server.log").read_text()
    body, headers = receiver.got[0]
    with pytest.raises(InvalidWebhookSignatureError):
        AsyncOpenAI(api_key="none", webhook_secret=SECRET).webhooks.unwrap(body + b" ", headers)


async def test_what_was_refused_comes_again_when_the_receiver_says(
    tmp_path: Path, connect: Connect
) -> None:
    with (
        running_receiver((503, "0"), (302, "Wed, 21 Oct 2015 07:28:00 GMT")) as receiver,
        running_modelserver(tmp_path, "--webhook-url", receiver.url, environment=SECRETS) as server,
    ):
        client = connect(server.url)
        file_id = await upload(client, lines_of(PAIRS))
        job = await client.fine_tuning.jobs.create(model=BASE, training_file=file_id)
        events = await got(receiver, 3)
        assert [event.data.id for event in events] == [job.id] * 3
        assert len({headers["webhook-id"] for _, headers in receiver.got}) == 1


async def test_a_killed_server_tells_at_its_next_start(tmp_path: Path, connect: Connect) -> None:
    nobody = "http://127.0.0.1:9/hooks"
    server = start_modelserver(tmp_path, "--webhook-url", nobody, environment=SECRETS)
    client = connect(server.url)
    file_id = await upload(client, lines_of(PAIRS))
    job = await client.fine_tuning.jobs.create(model=BASE, training_file=file_id)
    await wait_for(client, job.id)
    server.kill()
    with running_receiver() as receiver:
        options = ("--webhook-url", receiver.url)
        with running_modelserver(tmp_path, *options, environment=SECRETS):
            events = await got(receiver, 1)
        assert events[0].data.id == job.id
        with running_modelserver(tmp_path, *options, environment=SECRETS):
            pass
        assert len(receiver.got) == 1


def test_after_three_days_it_gives_up_and_the_job_says_so(tmp_path: Path) -> None:
    database = Database(tmp_path / "db.sqlite3")
    webhooks = Webhooks(database, url="http://127.0.0.1:9/", secret=SECRET)
    with database.transaction() as db:
        insert_delivery(db, "ftjob-old", age_s=72 * 3600)
        insert_delivery(db, "ftjob-new", age_s=60)
    webhooks.start()
    while database.row("SELECT 1 FROM deliveries WHERE attempts = 0"):
        time.sleep(0.05)
    webhooks.stop()
    left = database.rows("SELECT job_id FROM deliveries WHERE ended_at IS NULL")
    told = database.rows("SELECT job_id, level FROM events")
    assert [row["job_id"] for row in left] == ["ftjob-new"]
    assert [tuple(row) for row in told] == [("ftjob-old", "warn")]
    database.close()


def insert_delivery(db: sqlite3.Connection, job_id: str, age_s: int) -> None:
    db.execute(
        "INSERT INTO deliveries (job_id, type, created_at, next_at)"
        " VALUES (?, 'fine_tuning.job.failed', unixepoch() - ?, 0)",
        (job_id, age_s),
    )


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_short", "sixteen plain bytes or more"])
def test_without_a_good_secret_nothing_starts(tmp_path: Path, secret: str) -> None:
    database = Database(tmp_path / "db.sqlite3")
    with pytest.raises(WebhookError, match="MODELSERVER_WEBHOOK_SECRET"):
        Webhooks(database, url="http://127.0.0.1:9/", secret=secret)
    database.close()


def test_a_url_that_is_none_is_refused(tmp_path: Path) -> None:
    refused = run("--data", str(tmp_path), "--engine", "stub", "--webhook-url", "example.com/x")
    assert refused.returncode == 2
    assert "--webhook-url: give a whole URL" in refused.stderr


async def test_the_event_is_as_openai_writes_it(tmp_path: Path) -> None:
    database = Database(tmp_path / "db.sqlite3")
    with running_receiver() as receiver:
        webhooks = Webhooks(database, url=receiver.url, secret=SECRET)
        with database.transaction() as db:
            insert_delivery(db, "ftjob-a", age_s=0)
        webhooks.start()
        await got(receiver, 1)
        webhooks.stop()
    event = json.loads(receiver.got[0][0])
    assert set(event) == {"id", "object", "created_at", "type", "data"}
    assert event["object"] == "event"
    database.close()


@pytest.mark.parametrize("host", ["hooks..example", "a" * 70 + ".example", "\u2028.example"])
def test_a_host_that_no_name_can_be_is_a_receiver_that_is_away(tmp_path: Path, host: str) -> None:
    """Such a slip of the pen passes for a URL, and ended the thread that posts."""
    database = Database(tmp_path / "modelserver.sqlite3")
    webhooks = Webhooks(database, url=f"http://{host}/x", secret=SECRET)
    with database.transaction() as db:
        db.execute(
            "INSERT INTO deliveries (job_id, type, created_at, next_at)"
            " VALUES ('ftjob-1', 'fine_tuning.job.failed', unixepoch(), 0)"
        )
    with httpx2.Client(timeout=1) as http:
        due = webhooks._next()
        assert due is not None
        webhooks._deliver(http, due)
    row = database.row("SELECT * FROM deliveries")
    assert row is not None
    assert (row["attempts"], row["ended_at"]) == (1, None)
