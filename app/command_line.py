"""The commands of `nod`, put together."""

from importlib.metadata import version
from typing import Annotated

import typer

from app.commands import (
    advice,
    backup,
    canary,
    chat,
    datasets,
    demo,
    doctor,
    documents,
    forget,
    lineage,
    masks,
    models,
    prepare,
    retrain,
    runs,
    serve,
    show,
    switch,
    synthesize,
    tag,
    users,
)
from app.help_text import flow
from app.terminal import flags, screen

EPILOG = """\
Start here:

  nod up                      web chat, console, worker, scheduler and model server in one go
  nod chat                    talk to it in this terminal
  nod ingest docs/ faq.csv    give it something to look up
  nod retrain --watch         train on what was approved, and watch
  nod doctor                  check every setting, and how to mend it

Settings come from the environment and from .env: NOD_HOME (data folder), NOD_HOST, NOD_PORT,
NOD_TELEGRAM_TOKEN, NOD_MODEL_BASE_URL (any OpenAI-compatible endpoint), NOD_DATABASE_URL...
"""

app = typer.Typer(
    name="nod",
    help="A chat bot that learns from the replies you approve.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        screen.print(f"nod {version('nod')}", highlight=False)
        raise typer.Exit


@app.callback()
def _before(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks, and log everything.")
    ] = False,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    flags.debug = debug


serve.add_to(app)
chat.add_to(app)
demo.add_to(app)
documents.add_to(app)
prepare.add_to(app)
synthesize.add_to(app)
retrain.add_to(app)
runs.add_to(app)
advice.add_to(app)
lineage.add_to(app)
tag.add_to(app)
datasets.add_to(app)
models.add_to(app)
forget.add_to(app)
canary.add_to(app)
masks.add_to(app)
switch.add_to(app)
users.add_to(app)
show.add_to(app)
doctor.add_to(app)
backup.add_to(app)
flow(app)
