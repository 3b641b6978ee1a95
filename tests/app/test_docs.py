"""What people read leads where it says: links, names of settings, help."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from app.command_line import app
from app.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
# Of compose.yaml, and of the tests.
NOT_SETTINGS = {"NOD_VERSION", "NOD_TEST_POSTGRES"}
KNOWN = {f"NOD_{name.upper()}" for name in Settings.model_fields} | NOT_SETTINGS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_of_a_page_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, heading = link.partition("#")
        if path.startswith(("http:", "https:")):
            continue
        target = (page.parent / path) if path else page
        if not target.exists() or (heading and heading not in _headings(target)):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_setting_that_a_page_names_exists(page: Path) -> None:
    named = set(
        re.findall(r"\bNOD_(?!BENCH_)[A-Z][A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8"))
    )
    assert named - KNOWN == set()


def test_no_line_of_the_changelog_is_longer_than_100_characters() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 100] == []


def test_the_help_of_each_command_that_takes_something_has_an_example() -> None:
    commands = dict(_commands(get_command(app), "nod"))
    assert "nod dataset export" in commands
    lacking = [
        name
        for name, command in commands.items()
        if any(parameter.required for parameter in command.params)
        and f"{name} " not in (command.help or "")
    ]
    assert lacking == []


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Typer has a click of its own, or not, by its version."""
    for below, each in getattr(command, "commands", {}).items():
        yield from _commands(each, f"{name} {below}")
    yield name, command


def _headings(page: Path) -> set[str]:
    """As GitHub makes anchors of them."""
    found = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.strip().lower()).replace(" ", "-") for each in found}
