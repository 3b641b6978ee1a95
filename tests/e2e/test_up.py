"""`nod up` as a real process: it starts, answers, refuses a second one, survives and stops."""

import json
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from tests.e2e.running_nod import Customer, command, patiently, query, running

TO_ANSWER = "select count(*) from turn where state in ('waiting', 'answering')"
TO_SEND = "select count(*) from reply where status in ('ready', 'sending')"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A running shop that knows a document: its data folder and its URL."""
    home = tmp_path_factory.mktemp("shop") / "nod"
    documents = home.parent / "documents"
    documents.mkdir()
    (documents / "delivery.md").write_text(
        "# Delivery\n\nWe deliver on Saturday mornings. Delivery to the islands takes nine days.\n"
    )
    code, said, errors = command(home, "ingest", str(documents))
    assert (code, "1 new chunks" in said) == (0, True), said + errors
    with running(home) as nod:
        url = nod.wait_until_up()
        nod.wait_for_models(url)
        yield home, url


def test_a_customer_is_answered_from_a_document_and_finds_it_again(shop: tuple[Path, str]) -> None:
    customer = Customer(shop[1])
    message_id = customer.say("Delivery on Saturday mornings?")
    [reply] = customer.wait_for_replies(1)
    assert "Saturday" in reply
    customer.say("Delivery on Saturday mornings?", message_id)  # the page repeats it
    assert [turn["role"] for turn in customer.turns()] == ["customer", "bot"]


def test_metrics_count_what_the_tables_hold(shop: tuple[Path, str]) -> None:
    home, url = shop
    customer = Customer(url)
    customer.say("What about a submarine?")
    customer.wait_for_replies(1)
    metrics = httpx2.get(f"{url}/metrics").text
    [(turns,)] = query(home, "select count(*) from turn where role = 'customer'")
    assert f'nod_turns_total{{role="customer"}} {turns:.1f}' in metrics
    assert "nod_turns_waiting 0.0" in metrics
    assert 'nod_answer_seconds_count{way="unknown"}' in metrics


def test_a_second_process_on_the_folder_is_refused_and_told_who_is_there(
    shop: tuple[Path, str],
) -> None:
    home, url = shop
    code, _, said = command(home, "worker")
    assert code == 1
    assert "`nod up` works on" in said
    assert f"{url}/console" in said
    assert "Traceback" not in said
    assert httpx2.get(f"{url}/health").status_code == 200


def test_a_port_that_is_taken_is_named(shop: tuple[Path, str], tmp_path: Path) -> None:
    port = shop[1].rsplit(":", 1)[1]
    code, _, said = command(tmp_path / "other", "up", PORT=port)
    assert code == 1
    assert f":{port} cannot be listened on" in said


def test_commands_work_beside_a_running_nod(shop: tuple[Path, str]) -> None:
    home, _ = shop
    assert command(home, "mode", "retrieval")[1] == "mode: auto -> retrieval\n"
    assert command(home, "mode", "auto")[1] == "mode: retrieval -> auto\n"
    code, out, _ = command(home, "chat", stdin="Delivery to the islands?\n")
    assert code == 0
    assert "nine days" in out
    switched = query(home, "select who, detail from audit_entry where action = 'set_switch'")
    assert "terminal" in switched[0][0]
    assert json.loads(switched[0][1]) == {"key": "mode", "from": "auto", "to": "retrieval"}


def test_it_says_where_everything_is_and_stops_with_pages_open(tmp_path: Path) -> None:
    """Also with a Telegram that does not answer; its token is in no log."""
    home, token = tmp_path / "nod", "123456789:" + "A" * 35
    with running(home, TELEGRAM_TOKEN=token, TELEGRAM_BASE_URL="http://127.0.0.1:9") as nod:
        url = nod.wait_until_up()
        for shown in (f"{url}/", f"{url}/console", f"{url}/metrics", str(home), "password: "):
            assert shown in nod.output
        assert home.stat().st_mode & 0o777 == 0o700
        nod.wait_for_models(url)
        with Customer(url).client.stream("GET", "/chat/events") as response:
            next(response.iter_lines())
            children = _children(nod.process.pid)
            assert nod.stop(signal.SIGINT) == 0
        assert "Stopped." in nod.output
        assert "Traceback" not in nod.output
        assert "A" * 35 not in nod.output
        assert children
        assert not [child for child in children if _is_alive(child)]
    with running(home) as nod:
        nod.wait_until_up()
        assert "password: " not in nod.output


def test_what_customers_wrote_is_answered_once_though_nod_is_killed(tmp_path: Path) -> None:
    """At first its model server cannot start; then it is killed from early to late in answers."""
    home = tmp_path / "nod"
    assert command(home, "mode", "base")[0] == 0
    in_the_way = home / "models" / "modelserver.lock"
    in_the_way.mkdir(parents=True)
    customer, said = None, 0
    for wait_s in (0.5, 0.0, 0.1):
        with running(home) as nod:
            url = nod.wait_until_up()
            customer = customer or Customer(url)
            customer.move(url)
            for number in range(2):
                customer.say(f"Question {said + number}: when do you deliver to the islands?")
            said += 2
            if in_the_way.is_dir():
                assert "the answer follows" in customer.wait_for_replies(1)[0]
                in_the_way.rmdir()
            signal.sigtimedwait([], wait_s)
            children = _children(nod.process.pid)
            nod.kill()
        for _ in patiently():
            if not any(map(_is_alive, children)):
                break
    with running(home) as nod:
        customer.move(nod.wait_until_up())
        for _ in patiently():
            if query(home, TO_ANSWER) == query(home, TO_SEND) == [(0,)]:
                break
        turns = customer.turns()
    asked = [turn["text"].split(":")[0] for turn in turns if turn["role"] == "customer"]
    assert asked == [f"Question {number}" for number in range(said)]
    answers = "select count(*), count(distinct turn_id) from reply where way <> 'notice'"
    assert query(home, answers) == [(said, said)]
    [(notices,)] = query(home, "select count(*) from reply where way = 'notice'")
    assert len(turns) == 2 * said + notices


def _children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(path.read_text().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def _is_alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False
