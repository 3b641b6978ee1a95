"""`nod lineage`: what taught a reply, and what a turn has taught."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.tree import Tree

from app.settings import Settings
from app.terminal import run, screen
from finetune.node import Node


def lineage(
    what: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="A reply's number; or turn:5, example:7, dataset:2, run:3, model:4."
        ),
    ],
    forward: Annotated[
        bool, typer.Option("--forward", help="What it has taught, instead of what taught it.")
    ] = False,
) -> None:
    """Show what stands behind a reply, or what a turn has taught.

    Back: the model version, its run and dataset, the examples nearest to the question, their
    reviews and the customers' turns; and what was looked up. Forward (a turn or a reply): the
    reviews, pairs and examples made of it, and every run and model that was trained on them.

    Numbers are in the console, and in `nod lineage`'s own trees.

    Examples:

      nod lineage 42

      nod lineage turn:17 --forward
    """
    run(lambda settings: _lineage(settings, what, forward))


async def _lineage(settings: Settings, what: str, forward: bool) -> None:
    from app.nod import open_store
    from finetune.lineage import parse_id, trace_back, trace_forward

    is_forward = forward or parse_id(what)[0] == "turn"
    async with open_store(settings) as database, database.read() as session:
        node = await (trace_forward if is_forward else trace_back)(session, what)
    screen.print(_grow(Tree(_label(node), guide_style="dim"), node), highlight=False)


def _grow(tree: Tree, node: Node) -> Tree:
    for child in node.children:
        _grow(tree.add(_label(child)), child)
    return tree


def _label(node: Node) -> str:
    detail = f" [dim]({escape(node.detail)})[/]" if node.detail else ""
    return f"[bold]{escape(node.name)}[/] {escape(node.title)}{detail}"


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel="Teach")(lineage)
