"""`nod forget` beside a running `nod up`, as two processes: it works at once, everywhere."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.migrate import migrate_now
from tests.e2e.running_nod import Customer, RunningNod, command, patiently, query, running

SECRET = "zanzibar"
QUESTION = f"Did you bring the {SECRET} cradle to Ann?"
ANSWER = f"Yes, the {SECRET} cradle is with Ann since Monday."


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[RunningNod, str]]:
    """A running shop that may forget nothing by a restart."""
    home = tmp_path / "nod"
    home.mkdir()
    migrate_now(f"sqlite:///{home / 'nod.db'}")
    with running(home) as nod:
        url = nod.wait_until_up()
        nod.wait_for_models(url)
        yield nod, url


def approve(home: Path, reply_text: str) -> None:
    """As a reviewer does in another process: the running one finds it by its rows."""
    with sqlite3.connect(home / "nod.db", timeout=30) as rows:
        rows.execute(
            "insert into review (reply_id, verdict, text, phrasings, reason, reviewer, created_at)"
            " select id, 'edited', ?, '[]', '', 'ada', created_at from reply"
            " order by id desc limit 1",
            (reply_text,),
        )


def test_what_a_running_nod_holds_of_a_conversation_goes_at_once(
    shop: tuple[RunningNod, str],
) -> None:
    nod, url = shop
    home = nod.home
    ann, bob = Customer(url), Customer(url)
    ann.say(QUESTION)
    ann.wait_for_replies(1)
    approve(home, ANSWER)
    for _ in patiently(1.0):  # the pair is found by its words and by its embedding
        if query(home, "select count(*) from chunk where indexed_at is not null") == [(1,)]:
            break
    bob.say(QUESTION)
    assert bob.wait_for_replies(1) == [ANSWER]
    [(conversation_id,)] = query(
        home, "select conversation_id from turn where role = 'customer' order by id limit 1"
    )

    code, said, errors = command(home, "forget", conversation_id, "--yes")
    assert (code, "Forgotten." in said) == (0, True), said + errors

    eve = Customer(url)
    for question in (QUESTION, f"the {SECRET} cradle", "Where is the cradle?"):
        eve.say(question)
    assert not [reply for reply in eve.wait_for_replies(3) if "Monday" in reply]
    assert ann.turns() == [], "an open page shows nothing of it"
    ann.say("Hello?")
    ann.wait_for_replies(1)
    assert [turn["text"] for turn in ann.turns() if turn["role"] == "customer"] == ["Hello?"]


def test_no_file_of_a_running_nod_holds_its_words_afterwards(
    shop: tuple[RunningNod, str],
) -> None:
    nod, url = shop
    ann = Customer(url)
    ann.say(QUESTION)
    ann.wait_for_replies(1)
    [(conversation_id,)] = query(nod.home, "select id from conversation")
    assert command(nod.home, "forget", conversation_id, "--yes")[0] == 0
    assert files_with(nod.home, SECRET) == []
    assert SECRET not in nod.output


def test_what_was_asked_while_it_was_being_forgotten_is_not_answered_from_memory(
    tmp_path: Path,
) -> None:
    """The model is away, so that the turn waits; its row goes, and nobody answers it."""
    home = tmp_path / "nod"
    with running(home, MODEL_BASE_URL="http://127.0.0.1:9/v1") as nod:
        ann = Customer(nod.wait_until_up())
        ann.say(QUESTION)
        for _ in patiently():
            if query(home, "select attempts from turn where role = 'customer'")[0][0] >= 1:
                break
        [(conversation_id,)] = query(home, "select id from conversation")
        assert command(home, "forget", conversation_id, "--yes")[0] == 0
        for table in ("turn", "reply", "conversation"):
            assert query(home, f"select count(*) from {table}") == [(0,)]
        time.sleep(3)  # as long as a put-off turn waits for its next try
        assert query(home, "select count(*) from reply") == [(0,)]
        assert ann.turns() == []
        assert "Traceback" not in nod.output


def files_with(home: Path, word: str) -> list[str]:
    return [
        str(path.relative_to(home))
        for path in sorted(home.rglob("*"))
        if path.is_file() and word.encode() in path.read_bytes()
    ]
