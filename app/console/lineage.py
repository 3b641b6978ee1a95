"""Lineage: what taught a reply, and what a turn has taught: /lineage?of=reply:12."""

from urllib.parse import quote

from nicegui import ui

from app.console.layout import add_page
from app.console.pieces import box, button, empty, field, heading, link, tag
from app.console.visit import Desk, Visit
from finetune.lineage import parse_id, trace_back, trace_forward
from finetune.node import LineageError, Node

_TRACED = ("reply", "turn", "example", "dataset", "run", "model")


def lineage_link(visit: Visit, kind: str, key: object, classes: str = "") -> None:
    """The way to the lineage of a row."""
    link(visit.say("Lineage"), f"/lineage?of={kind}:{key}", classes)


def add(desk: Desk) -> None:
    add_page(desk, "/lineage", "Lineage", _show)


async def _show(visit: Visit) -> None:
    say = visit.say
    of = visit.request.query_params.get("of", "")[:40]
    heading(say("Lineage"), say("What taught a reply, and what a turn has taught."))
    _ask(visit, of)
    if not of:
        return
    try:
        parse_id(of)
        async with visit.database.read() as session:
            back = await trace_back(session, of)
            forward = await _forward(visit, of)
    except LineageError as error:
        empty("search_off", say("There is nothing of this name"), visit.retell(str(error)))
        return
    with box("grid"):
        _show_tree(visit, say("What taught it"), back)
        if forward is not None:
            _show_tree(visit, say("What it has taught"), forward)


async def _forward(visit: Visit, of: str) -> Node | None:
    if parse_id(of)[0] not in ("reply", "turn"):
        return None
    async with visit.database.read() as session:
        return await trace_forward(session, of)


def _ask(visit: Visit, of: str) -> None:
    with box("row"):
        what = field(
            visit.say("Of"),
            ui.input(value=of, placeholder="reply:12"),
            hint="reply:12, turn:5, example:7, dataset:2, run:3, model:4",
        )

        def go() -> None:
            ui.navigate.to(f"/lineage?of={quote((what.value or '').strip())}")

        what.on("keydown.enter", go, [])
        button(visit.say("Show"), go, kind="main", picture="account_tree")


def _show_tree(visit: Visit, title: str, node: Node) -> None:
    with box("card stack"):
        tag("h2", title)
        with box("lineage", "ul"):
            _show_node(visit, node)


def _show_node(visit: Visit, node: Node) -> None:
    with box("", "li"):
        if node.kind in _TRACED:
            link(f"{visit.say(node.kind)} {node.key}", f"/lineage?of={node.kind}:{node.key}")
        else:
            tag("strong", visit.say(node.kind))
        tag("span", f" {node.title}")
        if node.detail:
            tag("div", node.detail, "muted")
        if node.children:
            with box("", "ul"):
                for child in node.children:
                    _show_node(visit, child)
