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
    clock_needs: Annotated[
        int | None,
        typer.Option("--clock-needs", help="By the clock only with so many new ones; 0: any."),
    ] = None,
    quiet: Annotated[
        str | None,
        typer.Option("--quiet", help="UTC hours in which none begins by itself; '' for none."),
    ] = None,
    jobs_a_day: Annotated[
        int | None,
        typer.Option("--jobs-a-day", help="The most jobs in a day, whoever asks; 0: any number."),
    ] = None,
) -> None:
    """Show when Nod retrains by itself and how often it may, or change it.

    Examples:

      nod schedule "0 3 * * 1" --at-least 50

      nod schedule --quiet 08:00-20:00 --jobs-a-day 2
    """
    new = {
        "retrain_cron": cron,
        "retrain_min_examples": at_least,
        "retrain_clock_min_examples": clock_needs,
        "retrain_quiet_hours": quiet,
        "retrain_jobs_a_day": jobs_a_day,
    }
    run(lambda settings: _schedule(settings, new))


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


async def _schedule(settings: Settings, new: dict[str, Any]) -> None:
    from app.nod import open_store
    from store.switches import read_switches, set_switch

    if new["retrain_cron"]:
        _check(new["retrain_cron"])
    async with open_store(settings) as database:
        async with database.write() as session:
            for key, value in new.items():
                if value is not None:
                    await set_switch(session, key, value, who=whoami())
        async with database.read() as session:
            now = await read_switches(session)
    least = now.retrain_clock_min_examples
    with_new = f", with {least} or more new examples" if least and now.retrain_cron else ""
    screen.print(f"by the clock (UTC): {now.retrain_cron or 'never'}{with_new}", highlight=False)
    count = now.retrain_min_examples
    screen.print(f"by the count: {f'every {count} new examples' if count else 'never'}")
    screen.print(f"quiet hours (UTC): {now.retrain_quiet_hours or 'none'}", highlight=False)
    screen.print(f"jobs a day at most: {now.retrain_jobs_a_day or 'any number'}", highlight=False)


def _check(cron: str) -> None:
    from app.cron import CronError, read_cron

    try:
        read_cron(cron)
    except CronError as error:
        raise CommandError(str(error)) from None


def add_to(app: typer.Typer) -> None:
    for command in (mode, policy, schedule):
        app.command(rich_help_panel=PANEL)(command)
