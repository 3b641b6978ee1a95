"""Runs: each retrain so far, and the button for the next one."""

from typing import Any

from nicegui import ui
from sqlalchemy import select

from app.console.layout import add_page
from app.console.pieces import box, button, empty, heading, link, table, tag, when
from app.console.run import show_run, state_chip, took
from app.console.visit import Desk, Visit
from finetune.run import count_new_examples, request_run
from store import Dataset, Run, UserRole

LISTED = 50


def add(desk: Desk) -> None:
    add_page(desk, "/runs", "Runs", _show_list)
    add_page(desk, "/runs/{run_id}", "Run", show_run)


async def _show_list(visit: Visit) -> None:
    say = visit.say
    with heading(
        say("Runs"), say("Each one trains on what was approved and must beat what is live.")
    ):
        news = tag("span", "", "muted", role="status")

        async def retrain() -> None:
            run = await request_run(
                visit.database,
                trigger="console",
                requested_by=visit.user.name,
                base_model=visit.nod.settings.base_model,
            )
            ui.navigate.to(f"/runs/{run.id}")

        button(
            say("Retrain now"),
            visit.doing(UserRole.operator, retrain),
            kind="main",
            picture="model_training",
            is_off=not visit.may(UserRole.operator),
        )
    rows = box()

    async def read() -> tuple[int, list[Any]]:
        query = (
            select(
                Run.id, Run.state, Run.trigger, Run.requested_by, Run.created_at, Run.ended_at,
                Run.trained_tokens, Run.tuned_model, Dataset.version, Dataset.train_count,
            )
            .outerjoin(Dataset, Dataset.id == Run.dataset_id)
            .order_by(Run.id.desc())
            .limit(LISTED)
        )  # fmt: skip
        async with visit.database.read() as session:
            fresh = await count_new_examples(session)
            return fresh, list((await session.execute(query)).all())

    async def show(found: tuple[int, list[Any]]) -> None:
        news.text = say("New examples: {n}", n=found[0])
        rows.clear()
        with rows:
            _show_rows(visit, found[1])

    await visit.live(read, show)()


def _show_rows(visit: Visit, found: list[Any]) -> None:
    say = visit.say
    if not found:
        empty("model_training", say("No run yet"), say("Approve some replies, then retrain."))
        return
    headers = (
        say("Run"), say("State"), say("Asked by"), say("Dataset"), say("Examples"), say("Started"),
        say("Took"),
    )  # fmt: skip
    with table(headers, label=say("Runs"), lesser=(2, 3, 4)):
        for row in found:
            with box("", "tr"):
                with box("", "td"):
                    link(f"#{row.id}", f"/runs/{row.id}")
                with box("", "td"):
                    state_chip(visit, row.state)
                tag("td", f"{say(row.trigger)} · {say(row.requested_by)}")
                tag("td", f"v{row.version}" if row.version else "–")
                tag("td", str(row.train_count or "–"))
                with box("", "td"):
                    when(visit, row.created_at)
                tag("td", took(row))
