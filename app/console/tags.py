"""Tags of reviewed replies: what they are about, so that the gate protects such questions."""

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from app.console.pieces import box, button, chip, field, tag
from app.console.visit import Act, Visit
from bot.tags import set_tags
from store import UserRole

HINT = "Single words, such as: refund vip. A candidate that gets worse on one does not go live."


def tags_field(visit: Visit, tags: list[str]) -> ui.input:
    """An input for all tags of a reply, with spaces between."""
    entry = ui.input(value=" ".join(tags), placeholder="refund vip")
    made: ui.input = field(visit.say("Tags"), entry, hint=visit.say(HINT))
    return made


def show_tags(
    visit: Visit, reply_id: int, tags: list[str], *, place: TextElement, refresh: Act
) -> None:
    """The tags, and the way to change them in a dialog that stands in `place`."""
    for each in tags:
        chip(each, "plain")
    if visit.may(UserRole.reviewer):
        button(
            visit.say("Tags"),
            lambda: _ask(visit, reply_id, tags, place, refresh),
            kind="quiet small",
            picture="sell",
        )


def _ask(visit: Visit, reply_id: int, tags: list[str], place: TextElement, refresh: Act) -> None:
    say = visit.say
    place.clear()
    with place, ui.dialog(value=True) as dialog, box("card"):
        tag("h2", say("What is this reply about?"))
        entry = tags_field(visit, tags)

        async def save() -> None:
            async with visit.database.write() as session:
                words = (entry.value or "").split()
                await set_tags(session, reply_id, words, who=visit.user.name)
            dialog.close()
            visit.tell(say("Saved"))
            if (done := refresh()) is not None:
                await done

        keep = visit.doing(UserRole.reviewer, save)
        entry.on("keydown.enter.prevent", keep, [])
        with box("actions"):
            button(say("Save"), keep, kind="main")
            button(say("Cancel"), dialog.close, kind="quiet")
