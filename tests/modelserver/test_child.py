"""How long the threads of our processes wait awake, and whose word goes before ours."""

import pytest

from modelserver.child import WAITING, WAITING_IN_TRAINING, child_environment
from modelserver.trainer import _environment

SPINS = "GOMP_SPINCOUNT"


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in WAITING:
        monkeypatch.delenv(key, raising=False)


def test_the_trainer_waits_awake_for_longer_than_the_server() -> None:
    assert child_environment()[SPINS] == WAITING[SPINS]
    assert _environment()[SPINS] == WAITING_IN_TRAINING[SPINS]
    assert int(WAITING_IN_TRAINING[SPINS]) > int(WAITING[SPINS]) > 0


def test_the_trainer_does_so_too_where_the_server_has_set_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(SPINS, WAITING[SPINS])
    assert _environment()[SPINS] == WAITING_IN_TRAINING[SPINS]


def test_what_the_environment_says_goes_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SPINS, "0")
    assert child_environment()[SPINS] == "0"
    assert _environment()[SPINS] == "0"
