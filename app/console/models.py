"""Models: every version that was trained, which one is live, and the way back."""

from sqlalchemy import select

from app.console.canary import CanaryNow, read_canary, show_canary
from app.console.layout import add_page
from app.console.lineage import lineage_link
from app.console.pieces import (
    asking_button,
    box,
    chip,
    empty,
    heading,
    link,
    number,
    table,
    tag,
    when,
)
from app.console.visit import Desk, Visit
from finetune.promote import promote, roll_back, start_canary, version_before
from store import ModelVersion, Stage, UserRole
from store.switches import read_switches

PAUSED = "No conversation tries it yet: the candidate's share is 0, see the settings"


def add(desk: Desk) -> None:
    add_page(desk, "/models", "Models", _show)


async def _show(visit: Visit) -> None:
    say = visit.say
    page = box()

    async def read() -> list[ModelVersion]:
        async with visit.database.read() as session:
            rows = await session.scalars(select(ModelVersion).order_by(ModelVersion.id.desc()))
            return list(rows)

    async def read_key() -> list[tuple[object, ...]]:
        now = await read_now()
        judged = [(now.share, now.judged, now.judged_without, now.version.canary)] if now else []
        rows = [
            (row.id, row.stage, row.sure_logprob, row.retired_at, row.tainted_at)
            for row in await read()
        ]
        return [*rows, *judged]

    async def read_now() -> CanaryNow | None:
        async with visit.database.read() as session:
            return await read_canary(session)

    async def show(_key: object) -> None:
        page.clear()
        versions, canary = await read(), await read_now()
        with page:
            with heading(say("Models"), say("A promotion counts from the next message on.")):
                live = next((each for each in versions if each.stage is Stage.live), None)
                if live is not None:
                    await _roll_back_button(visit, live)
                link(say("Is tuning worth it?"), "/advice")
            if canary is not None:
                show_canary(visit, canary)
            _warn(visit, versions)
            _show_versions(visit, versions)

    await visit.live(read_key, show)()


def _warn(visit: Visit, versions: list[ModelVersion]) -> None:
    """What is in use and has learnt from somebody who wanted to be forgotten."""
    say = visit.say
    in_use = (version for version in versions if version.stage in (Stage.live, Stage.canary))
    for version in in_use:
        if version.tainted_at is not None:
            with box("note warn", role="status"):
                tag("strong", say("{model} is tainted.", model=version.model))
                tag("span", say("It has learnt from a conversation that was forgotten since."))
                tag("span", say("The next retrain heals it: its model goes live if no worse."))
                link(say("To the runs"), "/runs")


def _show_versions(visit: Visit, versions: list[ModelVersion]) -> None:
    say = visit.say
    if not versions:
        empty(
            "layers",
            say("No tuned model yet"),
            say("The base model answers from what it can look up. Retrain to get a better one."),
        )
        return
    headers = (
        say("Model"), say("Stage"), say("Sure from"), "chrF", say("Similarity"), say("Trained"), "",
    )  # fmt: skip
    with table(headers, label=say("Model versions"), numbers=(3, 4), lesser=(2, 3, 4, 5)):
        for version in versions:
            _show_version(visit, version)


def _show_version(visit: Visit, version: ModelVersion) -> None:
    say, auto = visit.say, version.scores.get("auto") or {}
    with box("", "tr"):
        with box("", "td"):
            tag("div", version.model, "mono")
            with box("meta"):
                tag("span", version.base_model, "muted")
                if version.run_id:
                    link(say("Run {n}", n=version.run_id), f"/runs/{version.run_id}")
                lineage_link(visit, "model", version.id)
        with box("", "td"):
            chip(say(version.stage.value), version.stage.value)
            if version.tainted_at is not None:
                learnt = say("It has learnt from a conversation that was forgotten since.")
                chip(say("tainted"), "warn", title=learnt)
        tag("td", _sure(visit, version))
        tag("td", number(auto.get("chrf"), 1), "number")
        tag("td", number(auto.get("similarity"), 3), "number")
        with box("", "td"):
            when(visit, version.created_at)
        with box("", "td"), box("actions"):
            if version.stage is not Stage.live:
                _promote_button(visit, version)
            if version.stage in (Stage.candidate, Stage.retired) and version.tainted_at is None:
                _canary_button(visit, version)


def _sure(visit: Visit, version: ModelVersion) -> str:
    """Both thresholds in words; a version without any is never sure of itself."""
    parts = []
    if version.sure_logprob is not None and version.sure_logprob > 0:
        return visit.say("never")  # no mean log-probability is above 0
    if version.sure_logprob is not None:
        parts.append(f"logprob ≥ {version.sure_logprob:.2f}")
    if version.sure_agreement is not None:
        parts.append(visit.say("agreement ≥ {share}", share=f"{version.sure_agreement:.0%}"))
    return ", ".join(parts) or visit.say("never")


def _promote_button(visit: Visit, version: ModelVersion) -> None:
    say, is_tainted = visit.say, version.tainted_at is not None

    async def go_live() -> None:
        async with visit.database.write() as session:
            await promote(session, version.id, visit.user.name, even_tainted=is_tainted)
        visit.tell(say("Live from the next message on"))

    more = say("It answers customers from the next message on; the present one is retired.")
    asking_button(
        visit,
        say("Promote"),
        say("Promote {model}?", model=version.model),
        more,
        visit.doing(UserRole.operator, go_live),
        picture="rocket_launch",
        warning=_warning(visit, version),
    )


def _warning(visit: Visit, version: ModelVersion | None) -> str:
    """What somebody has to agree to who gives a tainted version to the customers."""
    if version is None or version.tainted_at is None:
        return ""
    return visit.say(
        "{model} is tainted: it was trained on a conversation that was forgotten on {day}, and may "
        "repeat what was said in it. A retrain makes a model without it.",
        model=version.model,
        day=f"{version.tainted_at:%Y-%m-%d}",
    )


def _canary_button(visit: Visit, version: ModelVersion) -> None:
    say = visit.say

    async def try_it() -> None:
        async with visit.database.write() as session:
            await start_canary(session, version.id, visit.user.name)
            share = (await read_switches(session)).canary_share
        words = "A share of the conversations tries it now" if share else PAUSED
        visit.tell(say(words))

    asking_button(
        visit,
        say("Try it"),
        say("Try {model} with a share of the conversations?", model=version.model),
        say("The switch canary_share says how many; thumbs and reviews decide."),
        visit.doing(UserRole.operator, try_it),
        picture="science",
    )


async def _roll_back_button(visit: Visit, live: ModelVersion) -> None:
    say = visit.say
    async with visit.database.read() as session:
        before = await version_before(session, live)
    is_tainted = before is not None and before.tainted_at is not None

    async def go_back() -> None:
        async with visit.database.write() as session:
            now_live = await roll_back(
                session, visit.user.name, seen=live.id, even_tainted=is_tainted
            )
        name = now_live.model if now_live else say("base model only")
        visit.tell(say("Live now: {name}", name=name))

    asking_button(
        visit,
        say("Roll back"),
        say("Roll back?"),
        say("The version that was live before answers again; without one, the base model."),
        visit.doing(UserRole.operator, go_back),
        picture="undo",
        warning=_warning(visit, before),
    )
