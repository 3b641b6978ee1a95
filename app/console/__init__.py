"""The console: where the people of the shop review, watch and steer, at /console.

Every page is NiceGUI's; the way in is plain HTML; the guard stands in front of both.
"""

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from nicegui import ui

from app.console import (
    advice,
    conversations,
    knowledge,
    lineage,
    models,
    review,
    runs,
    second_look,
    settings,
)
from app.console.guard import PREFIX, ConsoleGuard
from app.console.layout import LOOK
from app.console.login import make_login_routes
from app.console.plain_page import add_lost_page
from app.console.visit import Desk
from app.nod import Nod

PLACES = (
    review, second_look, conversations, knowledge, runs, models, settings, advice, lineage,
)  # fmt: skip


def mount_console(app: FastAPI, nod: Nod) -> None:
    """Add the console to `app`; once in a process, for the framework has one set of pages."""
    desk = Desk(nod)
    for place in PLACES:
        place.add(desk)
    add_lost_page()
    app.include_router(make_login_routes(nod.database))
    app.mount(f"{PREFIX}/look", StaticFiles(directory=LOOK), name="console-look")
    app.add_middleware(ConsoleGuard, database=nod.database)
    ui.run_with(
        app,
        mount_path=PREFIX,
        title="Nod",
        favicon=LOOK / "mark.svg",
        tailwind=False,
        show_welcome_message=False,
        reconnect_timeout=30.0,
    )
