"""`nod mode`, `nod policy`, `nod schedule`: what is switched while Nod runs."""

from typing import Annotated, Any

import typer

from app.settings import Settings
from app.terminal import CommandError, run, screen, whoami

PANEL = "Operate"


def mode(
    new: Annotated[
        str | None, typer.Argument(metavar="[MODE]", help="base, retrieval, tuned, hybrid, auto")
    ] = None,
) -> None:
    """Show where answers come from, or switch it; the next message follows.

    base: the base model alone. retrieval: the base model with what was looked up. tuned: the tuned
    model alone. hybrid: both. auto: an approved reply where the question is known, the tuned model
    when it is sure, else retrieval, else an honest "I don't know".

    Example: nod mode hybrid
    """
    run(lambda settings: _switch(settings, "mode", new))


def policy(
    new: Annotated[
        str | None, typer.Argument(metavar="[POLICY]", help="send, hold, hold_unsure")
    ] = None,
) -> None:
    """Show what happens to an answer before the customer gets it, or switch it.

    send: sent at once, and queued for review. hold: held until a person approves it. hold_unsure:
    held only when the answer is unsure.

    Example: nod policy hold_unsure
    """
    run(lambda settings: _switch(settings, "policy", new))


def schedule(
    cron: Annotated[
        str | None, typer.Argument(metavar="[CRON]", help="Cron's five fields in UTC; '' for none.")
    ] = None,
    at_least: Annotated[
        int | None,
        typer.Option("--at-least", help="Retrain after so many new examples; 0 for never."),
    ] = None,
) -> None:
    """Show when Nod retrains by itself, or change it.

    Example: nod schedule "0 3 * * 1" --at-least 50
    """
    run(lambda settings: _schedule(settings, cron, at_least))


async def _switch(settings: Settings, key: str, new: Any) -> None:
    from app.nod import open_store
    from store.switches import read_switches, set_switch

    async with open_store(settings) as database:
        async with database.read() as session:
            before = getattr(await read_switches(session), key)
        if new is None:
            screen.print(str(before), highlight=False)
            return
        async with database.write() as session:
            after = getattr(await set_switch(session, key, new, who=whoami()), key)
    screen.print(f"{key}: {before} -> {after}", highlight=False)


async def _schedule(settings: Settings, cron: str | None, at_least: int | None) -> None:
    from app.nod import open_store
    from store.switches import read_switches, set_switch

    if cron:
        _check(cron)
    new = {"retrain_cron": cron, "retrain_min_examples": at_least}
    async with open_store(settings) as database:
        async with database.write() as session:
            for key, value in new.items():
                if value is not None:
                    await set_switch(session, key, value, who=whoami())
        async with database.read() as session:
            now = await read_switches(session)
    screen.print(f"by the clock (UTC): {now.retrain_cron or 'never'}", highlight=False)
    count = now.retrain_min_examples
    screen.print(f"by the count: {f'every {count} new examples' if count else 'never'}")


def _check(cron: str) -> None:
    from app.cron import CronError, read_cron

    try:
        read_cron(cron)
    except CronError as error:
        raise CommandError(str(error)) from None


def add_to(app: typer.Typer) -> None:
    for command in (mode, policy, schedule):
        app.command(rich_help_panel=PANEL)(command)
