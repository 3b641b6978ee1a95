"""What people copy to deploy Nod agrees with the program."""

import re
from pathlib import Path

import pytest
import yaml

from app.settings import Settings

ROOT = Path(__file__).parents[2]
# Read by compose.yaml itself: the tag of the image.
NOT_SETTINGS = {"NOD_VERSION"}
KNOWN = {f"NOD_{name.upper()}" for name in Settings.model_fields} | NOT_SETTINGS


def test_the_example_shows_every_setting_and_no_other() -> None:
    shown = re.findall(r"^(?:# )?(NOD_\w+)=", _read(".env.example"), re.MULTILINE)
    assert sorted(shown) == sorted(KNOWN)


def test_the_example_shows_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = re.findall(r"^# (NOD_(\w+))=(.+)$", _read(".env.example"), re.MULTILINE)
    for name in KNOWN:
        monkeypatch.delenv(name, raising=False)
    defaults = Settings(_env_file=None)  # type: ignore[call-arg]
    for name, _, value in shown:
        if name not in NOT_SETTINGS:
            monkeypatch.setenv(name, value)
    as_shown = Settings(_env_file=None)  # type: ignore[call-arg]
    for _, key, _ in shown:
        default = getattr(defaults, key.lower(), None)
        if default is not None:  # the rest are examples of what one may set
            assert getattr(as_shown, key.lower()) == default


@pytest.mark.parametrize("file", ["compose.yaml", "Dockerfile"])
def test_only_settings_that_exist_are_set(file: str) -> None:
    assert set(re.findall(r"NOD_[A-Z_]+", _read(file))) <= KNOWN


def test_every_secret_that_compose_asks_for_is_in_the_example() -> None:
    asked = re.findall(r"\$\{(\w+):\?", _read("compose.yaml"))
    assert asked
    assert all(re.search(f"^{name}=$", _read(".env.example"), re.MULTILINE) for name in asked)


def test_every_role_waits_for_what_it_needs_and_says_how_it_feels() -> None:
    services = yaml.safe_load(_read("compose.yaml"))["services"]
    assert all("healthcheck" in service for service in services.values())
    assert set(services["nod"]["depends_on"]) == set(services) - {"nod"}


def test_the_image_takes_every_room_along() -> None:
    wanted = _read("pyproject.toml").split("[tool.hatch.build.targets.wheel]")[1]
    for room in re.findall(r'"(\w+)"', wanted.split("]")[0]):
        assert f"!{room}/" in _read(".dockerignore")


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
