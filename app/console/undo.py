"""Undo: what was decided last on this page, and the way to take it back."""

from collections.abc import Callable

from nicegui import ui

from app.console.pieces import box, button, tag
from app.console.queue import Item
from app.console.reviewed import has_it
from app.console.visit import Act, Visit
from bot.reconsider import take_back
from store import Review, UserRole, Verdict

STAYS_S = 60.0
"""Later there is the conversation's page, which has every verdict."""
READ_S = 10.0
"""For words that offer nothing."""
_DONE = {
    Verdict.approved: "Approved",
    Verdict.edited: "Saved and approved",
    Verdict.rejected: "Rejected",
}


class Undo:
    """A notice at the bottom of the page. Its words are read aloud as they come."""

    def __init__(self, visit: Visit, *, refresh: Act, restored: Callable[[int], None]) -> None:
        """`refresh` looks at the queue anew; `restored` is told whose card is back in it."""
        self.visit, self._refresh, self._restored = visit, refresh, restored
        self._last: tuple[Item, Review] | None = None
        self._shown: object = None
        """What the notice says now: an older one's time ends without effect."""
        self.undo = visit.doing(UserRole.reviewer, self._undo)
        say = visit.say
        self.frame = box("undo")
        with self.frame:
            with box("words", role="status"):  # always there: what comes later is read aloud
                self.done, self.of = tag("strong"), tag("span", "", "cut")
            self.button = button(say("Undo"), self.undo, kind="small", picture="undo", key="u")
            self.button.props["aria-keyshortcuts"] = "u"
            button("", self.hide, kind="quiet", picture="close", hint=say("Close"))

    def offer(self, item: Item, review: Review) -> None:
        """Say what was decided, and offer to take it back."""
        self._last = item, review
        self._show(self.visit.say(_DONE[review.verdict]), item.question[:80], STAYS_S)
        self.button.set_visibility(True)

    def hide(self) -> None:
        self._last, self.done.text, self.of.text = None, "", ""
        self.frame.classes(remove="on")

    async def _undo(self) -> None:
        if self._last is None:
            return
        (item, review), self._last = self._last, None  # whatever comes of it, it is tried once
        self.hide()
        try:
            reply = await take_back(
                self.visit.database,
                self.visit.nod.knowledge,
                item.reply.id,
                seen=review,
                who=self.visit.user.name,
            )
            say = self.visit.say
            more = say("The customer has it: only what is learnt changes.") if has_it(reply) else ""
            self._show(say("Taken back: it waits for a verdict again."), more, READ_S)
            self.button.set_visibility(False)
        finally:
            await self._refresh()
        self._restored(item.reply.id)

    def _show(self, done: str, of: str, for_s: float) -> None:
        self.done.text, self.of.text = done, of
        self.frame.classes(add="on")
        shown = self._shown = object()

        def end() -> None:
            if self._shown is shown:
                self.hide()

        with self.frame:
            ui.timer(for_s, end, once=True)
