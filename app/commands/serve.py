"""`nod up`, and each of its roles as a process of its own."""

import typer

from app.settings import Settings
from app.terminal import CommandError, run, screen

PANEL = "Run"


def up() -> None:
    """Start everything in one process: web chat, console, worker, scheduler, model server.

    The first start makes the data folder, prints the owner's password once, and loads a sample
    shop. Ctrl+C ends it: answers under way are finished first.

    Examples:

      nod up

      NOD_PORT=9000 NOD_SAMPLE=0 NOD_HOME=/srv/nod nod up

      NOD_TELEGRAM_TOKEN=123456:ABC... nod up
    """
    run(lambda settings: _serve(settings, "up"), log_level=None)


def web() -> None:
    """Serve the web chat and the console only. Answers come from `nod worker`.

    Several processes need NOD_DATABASE_URL, NOD_CHROMA_URL and NOD_MODEL_BASE_URL.
    """
    run(lambda settings: _serve(settings, "web"), log_level=None)


def worker() -> None:
    """Answer only: customers' turns are taken from the database. Any number may run."""
    run(lambda settings: _serve(settings, "worker"), log_level=None)


def scheduler() -> None:
    """Retrain only, by the clock and by the count. Of several, one holds the lease."""
    run(lambda settings: _serve(settings, "scheduler"), log_level=None)


def telegram() -> None:
    """Talk to Telegram only, by long polling. One process for a token."""
    run(lambda settings: _serve(settings, "telegram"), log_level=None)


async def _serve(settings: Settings, command: str) -> None:
    if command == "telegram" and settings.telegram_token is None:
        raise CommandError("NOD_TELEGRAM_TOKEN is not set; @BotFather on Telegram gives you one")
    from app.listen import listen
    from app.nod import open_nod

    has_web = command in ("up", "web")
    listener = listen(settings) if has_web else None
    if listener is not None:
        settings = settings.model_copy(update={"port": listener.getsockname()[1]})
    try:
        async with open_nod(settings, command) as nod:
            from app.roles import Role, run_roles
            from app.up import first_start, tell_where_it_is

            roles = list(Role) if command == "up" else [Role(command)]
            await first_start(nod)
            if listener is not None:
                tell_where_it_is(nod)
            await run_roles(nod, roles, listener=listener)
    finally:
        if listener is not None:
            listener.close()
    screen.print("Stopped.")


def add_to(app: typer.Typer) -> None:
    for command in (up, web, worker, scheduler, telegram):
        app.command(rich_help_panel=PANEL)(command)
