"""Help reads well in a terminal of any width."""

from app.command_line import app
from app.help_text import flowed


def test_paragraphs_flow_and_examples_keep_their_lines() -> None:
    text = "One line.\n\nA paragraph\nof two lines.\n\nExamples:\n\n  nod up\n  nod chat"
    assert flowed(text) == (
        "One line.\n\nA paragraph of two lines.\n\nExamples:\n\n  nod up\n  nod chat"
    )


def test_every_command_of_every_group_flows() -> None:
    groups = [app, *(group.typer_instance for group in app.registered_groups)]
    helps = [
        command.help or "" for group in groups if group for command in group.registered_commands
    ]
    assert len(helps) > 30
    assert all(help_ == flowed(help_) and help_ for help_ in helps)


def test_examples_fit_into_eighty_columns() -> None:
    examples = [
        line
        for command in app.registered_commands
        for line in (command.help or "").splitlines()
        if line.startswith("  ")
    ]
    assert examples
    assert [line for line in examples if len(line) > 78] == []
