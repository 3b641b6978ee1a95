"""Ctrl-C ends a command at once and without a traceback, wherever it is."""

import os
import signal
import sys
import time
from types import SimpleNamespace

import pytest
import typer

from app.main import run as start
from app.settings import Settings
from app.terminal import CommandError, asking, run


def test_ctrl_c_at_a_question_does_not_wait_for_its_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def main(settings: Settings) -> None:
        with asking("nothing is deleted"):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(30)  # noqa: ASYNC251 - as a person who thinks

    began = time.monotonic()
    with pytest.raises(typer.Exit) as ended:
        run(main)
    assert ended.value.exit_code == 1
    assert time.monotonic() - began < 20
    assert "nobody answered; nothing is deleted" in capsys.readouterr().err


def test_a_question_to_an_input_that_has_ended_says_what_was_not_done() -> None:
    with pytest.raises(CommandError, match="nothing is written"), asking("nothing is written"):
        raise typer.Abort


def test_ctrl_c_while_modules_are_read_shows_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "app.command_line", SimpleNamespace(app=interrupted))  # type: ignore[arg-type]
    with pytest.raises(SystemExit) as ended:
        start()
    assert ended.value.code == 130
