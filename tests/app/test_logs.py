"""No secret reaches a log, by whatever way it gets there."""

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog
from sqlalchemy.exc import OperationalError, ProgrammingError

from app.logs import redact, set_up_logs
from app.settings import Settings

TELEGRAM = "123456789:AAF-abcdefghijklmnopqrstuvwxyz01234"


@pytest.mark.parametrize(
    "text",
    [
        f"POST https://api.telegram.org/bot{TELEGRAM}/getMe",
        "connect postgresql+psycopg://shop:hunter2@db/nod failed",
        "Incorrect API key provided: sk-proj-hunter2hunter2",
        "Authorization: Bearer hunter2hunter2",
    ],
)
def test_a_secret_in_a_text_is_taken_out(text: str) -> None:
    shown = str(redact(None, "info", {"event": text, "error": ValueError(text), "more": [text]}))
    assert "hunter2" not in shown
    assert TELEGRAM not in shown


def test_a_value_under_a_secrets_name_is_taken_out_and_counts_are_kept() -> None:
    event = {"event": "x", "api_key": "abc", "deep": {"password": "abc"}, "prompt_tokens": 7}
    assert redact(None, "info", event) == {
        "event": "x",
        "api_key": "***",
        "deep": {"password": "***"},
        "prompt_tokens": 7,
    }


def test_our_logs_and_the_libraries_are_json_lines_in_one_form(
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up_logs(Settings(log_json=True))
    try:
        structlog.get_logger("bot").info("answer_put_off", turn_id=7)
        logging.getLogger("some.library").warning("it took %s s", 3)
        logging.getLogger("httpx").info("POST /bot%s/getMe", TELEGRAM)
        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers.clear()
    assert [(line["event"], line["level"]) for line in lines] == [
        ("answer_put_off", "info"),
        ("it took 3 s", "warning"),
    ]
    assert lines[0]["turn_id"] == 7


def test_a_browser_that_left_early_is_no_error_of_ours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Servers of other tests may have given it handlers of its own.
    monkeypatch.setattr(logging.getLogger("uvicorn"), "propagate", True)
    set_up_logs(Settings(log_json=True))
    server = logging.getLogger("uvicorn.error")
    try:
        for words in ("No response returned.", "out of beds"):
            try:
                raise RuntimeError(words)
            except RuntimeError:
                server.error("Exception in ASGI application", exc_info=True)
        [line] = capsys.readouterr().err.splitlines()
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers.clear()
    assert "out of beds" in line


AWAY = OperationalError("select secret words", {}, Exception("connection refused\nIs it up?"))
OURS = ProgrammingError("select secret words", {}, Exception("no such column"))


@pytest.mark.parametrize("error", [AWAY, ExceptionGroup("of a stream", [AWAY])])
@pytest.mark.parametrize("logger", ["ours", "a library's"])
def test_a_database_that_is_away_is_told_in_a_line_without_a_traceback(
    logger: str, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    with _logs():
        _log(logger, error)
        [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line)["why"] == "OperationalError: connection refused"
    assert "Traceback" not in line
    assert "secret words" not in line


@pytest.mark.parametrize("error", [OURS, ExceptionGroup("of a stream", [AWAY, OURS])])
def test_a_fault_of_ours_keeps_its_traceback(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    with _logs():
        _log("ours", error)
        [line] = capsys.readouterr().err.splitlines()
    assert "Traceback" in line


def test_at_debug_an_outage_has_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with _logs(level="debug"):
        _log("ours", AWAY)
        [line] = capsys.readouterr().err.splitlines()
    assert "Traceback" in line


def test_a_tick_that_the_end_broke_off_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    with _logs():
        _log("apscheduler.executors.default", asyncio.CancelledError())
        assert capsys.readouterr().err == ""


@contextmanager
def _logs(level: str | None = None) -> Iterator[None]:
    set_up_logs(Settings(log_json=True), level=level)
    try:
        yield
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers.clear()


def _log(logger: str, error: BaseException) -> None:
    try:
        raise error
    except BaseException:
        if logger == "ours":
            structlog.get_logger("bot").exception("nothing_claimed")
        else:
            logging.getLogger(logger).exception("Exception in ASGI application\n")
