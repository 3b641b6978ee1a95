"""`nod tag`: say what a reviewed reply is about, so that the gate protects such questions."""

from typing import Annotated

import typer

from app.settings import Settings
from app.terminal import run, screen, whoami


def tag(
    reply: Annotated[int, typer.Argument(metavar="REPLY", help="The reply's number.")],
    tags: Annotated[
        list[str] | None, typer.Argument(metavar="[TAG]...", help="None takes all tags away.")
    ] = None,
) -> None:
    """Tag a reviewed reply: refund, vip, allergy...

    A candidate that gets worse on the held-out questions of a tag does not go live, however much
    better it is on the rest. NOD_GATE_PROTECTED names the tags that count; by default all do.

    Example: nod tag 42 refund vip
    """
    run(lambda settings: _tag(settings, reply, tags or []))


async def _tag(settings: Settings, reply_id: int, tags: list[str]) -> None:
    from app.nod import open_store
    from bot.tags import set_tags

    async with open_store(settings) as database, database.write() as session:
        review = await set_tags(session, reply_id, tags, who=whoami())
    screen.print(f"Reply {reply_id}: {', '.join(review.tags) or 'no tags'}", highlight=False)


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel="Teach")(tag)
