"""Help for a terminal of any width: paragraphs flow, examples stay as they stand."""

import inspect

import typer


def flow(app: typer.Typer) -> None:
    """Give every command its help from its docstring, without the line breaks of the source."""
    for command in app.registered_commands:
        command.help = flowed(command.help or inspect.getdoc(command.callback) or "")
    for group in app.registered_groups:
        if group.typer_instance is not None:
            flow(group.typer_instance)


def flowed(text: str) -> str:
    """The text with one line for each paragraph; what is indented keeps its lines."""
    return "\n\n".join(
        paragraph if paragraph.startswith(" ") else " ".join(paragraph.splitlines())
        for paragraph in text.split("\n\n")
    )
