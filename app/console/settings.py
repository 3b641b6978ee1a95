"""Settings: mode, policy and schedule; masks; the users; who changed what."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from nicegui import ui
from sqlalchemy import select

from app.console.audit import show_audit
from app.console.layout import add_page
from app.console.masks import show_masks
from app.console.people import show_own_password, show_users
from app.console.pieces import box, field, heading, read_count, save_button, tag, when
from app.console.visit import Act, Desk, Visit
from app.cron import read_cron
from store import Mode, Policy, Setting, Switches, UserRole
from store.switches import read_lost_switches, read_switches, set_switch

MODES = {
    Mode.auto: "Approved reply, tuned model when sure, else retrieval, else a person",
    Mode.hybrid: "The tuned model with context",
    Mode.tuned: "The tuned model alone",
    Mode.retrieval: "The base model with context",
    Mode.base: "The base model alone",
}
POLICIES = {
    Policy.send: "Sent at once, and queued for review",
    Policy.hold_unsure: "Held only when the answer is unsure",
    Policy.hold: "Held until a person approves it",
}


def add(desk: Desk) -> None:
    add_page(desk, "/settings", "Settings", _show)


async def _show(visit: Visit) -> None:
    heading(visit.say("Settings"))
    await _show_switches(visit)
    await show_masks(visit)
    if visit.may(UserRole.owner):
        await show_users(visit)
    await show_own_password(visit)
    await show_audit(visit)


@dataclass(frozen=True)
class Positions:
    """The switches as they stand, who set them, and those that were lost."""

    now: Switches
    lost: list[str]
    set_by: dict[str, tuple[str, datetime]]
    """Name and time by switch; one never set is missing."""


async def _read(visit: Visit) -> Positions:
    async with visit.database.read() as session:
        rows = await session.scalars(select(Setting))
        return Positions(
            now=await read_switches(session),
            lost=await read_lost_switches(session),
            set_by={row.key: (row.updated_by, row.updated_at) for row in rows},
        )


async def _show_switches(visit: Visit) -> None:
    page = box("stack")

    async def show(found: Positions) -> None:
        page.clear()
        with page:
            for problem in found.lost:
                words = visit.say("Stored, but it means nothing here: {problem}", problem=problem)
                tag("p", words, "problem")
            _choices(visit, "mode", visit.say("Where answers come from"), MODES, found, refresh)
            title = visit.say("What happens to an answer before the customer gets it")
            _choices(visit, "policy", title, POLICIES, found, refresh)
            _schedule(visit, found, refresh)

    look = visit.live(lambda: _read(visit), show, every_s=3.0)

    async def refresh() -> None:
        await look()

    await look()


def _choices(
    visit: Visit, key: str, title: str, options: dict[Any, str], found: Positions, refresh: Act
) -> None:
    with box("section"):
        tag("h2", title)
        with box("choices", role="radiogroup", aria_label=title):
            for option, words in options.items():

                async def choose(option: Any = option) -> None:
                    await _switch(visit, **{key: option.value})
                    await refresh()

                choice = box(
                    "choice", "button", type="button", role="radio",
                    aria_checked="true" if getattr(found.now, key) == option else "false",
                    disabled=not visit.may(UserRole.operator),
                )  # fmt: skip
                choice.on("click", visit.doing(UserRole.operator, choose), [])
                with choice:
                    tag("strong", visit.say(option.value))
                    tag("span", visit.say(words))
        _set_by(visit, found, key)


def _set_by(visit: Visit, found: Positions, *keys: str) -> None:
    """Who touched one of these switches last, and when."""
    touched = [found.set_by[key] for key in keys if key in found.set_by]
    if touched:
        who, at = max(touched, key=lambda each: each[1])
        with box("meta"):
            tag("span", visit.say("Set by {name}", name=who), "muted")
            when(visit, at)


def _schedule(visit: Visit, found: Positions, refresh: Act) -> None:
    say, now = visit.say, found.now
    with box("section"):
        tag("h2", say("When to retrain"))
        with box("card grid"):
            cron = field(
                say("By the clock"),
                ui.input(value=now.retrain_cron, placeholder="0 3 * * *"),
                hint=say("Cron's five fields, UTC; empty: never"),
            )
            needs = field(
                say("New examples that the clock needs"),
                ui.number(value=now.retrain_clock_min_examples, min=0, precision=0),
                hint=say("0: any that make a new dataset"),
            )
            count = field(
                say("By the count of new examples"),
                ui.number(value=now.retrain_min_examples, min=0, precision=0),
                hint=say("0: never"),
            )
            a_day = field(
                say("Jobs a day at most"),
                ui.number(value=now.retrain_jobs_a_day, min=0, precision=0),
                hint=say("0: no limit"),
            )
            quiet = field(
                say("Quiet hours"),
                ui.input(value=now.retrain_quiet_hours, placeholder="08:00-20:00"),
                hint=say("UTC; no run begins by itself then; empty: none"),
            )
            share = field(
                say("Candidate's share, in %"),
                ui.number(value=round(now.canary_share * 100), min=0, max=50, precision=0),
                hint=say("Of the conversations; 0: none tries one"),
            )

            async def save() -> None:
                if wanted := (cron.value or "").strip():
                    read_cron(wanted)  # or it says what is wrong, and nothing is saved
                await _switch(
                    visit,
                    retrain_cron=wanted,
                    retrain_min_examples=read_count(count),
                    retrain_clock_min_examples=read_count(needs),
                    retrain_jobs_a_day=read_count(a_day),
                    retrain_quiet_hours=(quiet.value or "").strip(),
                    canary_share=read_count(share, 50) / 100,
                )
                visit.tell(say("Saved"))
                await refresh()

            save_button(visit, save)
        retraining = [each.name for each in fields(Switches) if each.name.startswith("retrain")]
        _set_by(visit, found, *retraining, "canary_share")


async def _switch(visit: Visit, **wanted: Any) -> None:
    """Set all of them or none; what stays where it is, is not logged as a change."""
    async with visit.database.write() as session:
        now = await read_switches(session)
        for key, value in wanted.items():
            if value != getattr(now, key) or len(wanted) == 1:
                await set_switch(session, key, value, who=visit.user.name)
