"""No secret reaches a log, by whatever way it gets there."""

import json
import logging

import pytest
import structlog

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
