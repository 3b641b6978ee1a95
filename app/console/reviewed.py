"""A verdict that was given: who gave it, and the way to change it or to take it back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from app.console.card import Card, Give
from app.console.pieces import box, button, chip, dialog_of, tag
from app.console.queue import Item
from app.console.visit import Act, Visit
from bot.effect import original_text, still_waits
from bot.reconsider import change_verdict, take_back
from bot.review import ReviewChangedError
from store import Conversation, Reply, ReplyStatus, Review, UserRole, Verdict

GIVEN = {
    Verdict.approved: "Approved by {name}",
    Verdict.edited: "Edited by {name}",
    Verdict.rejected: "Rejected by {name}",
}
_KINDS = {Verdict.approved: "sent", Verdict.edited: "info", Verdict.rejected: "warn"}
_WITH_CUSTOMER = (ReplyStatus.sending, ReplyStatus.sent)


def has_it(reply: Reply) -> bool:
    """Whether the customer has the reply, some of it, or will have it in a moment."""
    return reply.status in _WITH_CUSTOMER or bool(reply.sent_parts)


class Reviewed:
    """Shows verdicts of one conversation; the dialog to change one stands in `place`."""

    def __init__(self, visit: Visit, *, place: TextElement, refresh: Act) -> None:
        self.visit, self.place, self.refresh = visit, place, refresh

    def show(self, reply: Reply, review: Review, *, question: str) -> None:
        say = self.visit.say
        said = say(GIVEN[review.verdict], name=review.reviewer)
        chip(said, _KINDS[review.verdict], title=review.reason or None)
        if self.visit.may(UserRole.reviewer):

            async def ask() -> None:
                await self._ask(reply, review, question)

            button(
                say("Change the verdict"),
                self.visit.doing(UserRole.reviewer, ask),
                kind="quiet small",
                picture="rule",
            )

    async def _ask(self, reply: Reply, review: Review, question: str) -> None:
        visit, say = self.visit, self.visit.say
        consequence = await self._consequence(reply)
        self.place.clear()
        with self.place, dialog_of(say("Change the verdict"), "verdict") as dialog:
            tag("p", say(GIVEN[review.verdict], name=review.reviewer), "muted")
            if review.reason:
                tag("p", say(review.reason))
            if review.text and review.text != original_text(reply):
                tag("p", review.text, "said")
            tag("p", consequence, "note")
            tag("p", say("Frozen datasets and trained models stay as they are."), "muted")

            card = ChangeCard(
                visit,
                Item(reply, question, "", None, review),
                give=self._giving(review, dialog),
                done=self._done,
                refresh=self.refresh,
            )
            card.leave_it = partial(_close, dialog)
            card.back = self._taking_back(reply, review, dialog)
            card.view()
        dialog.open()

    async def _done(self, _item: Item, _review: Review) -> None:
        self.visit.tell(self.visit.say("The verdict was changed"))

    def _giving(self, seen: Review, dialog: ui.dialog) -> Give:
        async def give(*args: Any, **kwargs: Any) -> Review:
            database, knowledge = self.visit.database, self.visit.nod.knowledge
            with closed_unless_refused(dialog):
                return await change_verdict(database, knowledge, *args, seen=seen, **kwargs)

        return give

    def _taking_back(self, reply: Reply, seen: Review, dialog: ui.dialog) -> Act:
        async def act() -> None:
            database, knowledge = self.visit.database, self.visit.nod.knowledge
            try:
                with closed_unless_refused(dialog):
                    await take_back(
                        database, knowledge, reply.id, seen=seen, who=self.visit.user.name
                    )
                self.visit.tell(self.visit.say("Taken back: it waits for a verdict again."))
            finally:
                await self.refresh()

        return self.visit.doing(UserRole.reviewer, act)

    async def _consequence(self, reply: Reply) -> str:
        """What a new verdict means for the customer, as it stands now."""
        say = self.visit.say
        async with self.visit.database.read() as session:
            fresh = await session.get(Reply, reply.id) or reply
            conversation = await session.get_one(Conversation, fresh.conversation_id)
            waits = await still_waits(session, conversation, fresh)
        if has_it(fresh):
            return say("The customer has this reply: the verdict changes what is learnt, no more.")
        if fresh.status is ReplyStatus.ready:
            return say("It is not sent yet: rejected, it never is; edited, it goes out as edited.")
        if fresh.status is ReplyStatus.withdrawn and waits:
            return say("It was not sent, and the customer still waits: approved, it goes out.")
        if fresh.status is ReplyStatus.withdrawn:
            return say("It was not sent, and is not any more: the customer was answered since.")
        return say("The verdict changes what is learnt, no more.")


@contextmanager
def closed_unless_refused(dialog: ui.dialog) -> Iterator[None]:
    """Close a dialog at the end; a text that is refused may be mended in it."""
    try:
        yield
    except ReviewChangedError:  # what it shows is out of date
        dialog.close()
        raise
    dialog.close()


def _close(dialog: ui.dialog) -> None:
    dialog.close()


class ChangeCard(Card):
    """A reply in the dialog: the other verdicts, and the way back to the queue."""

    leave_it: Callable[[], None]
    back: Act

    def show_question(self) -> None:
        """The conversation stands behind the dialog."""
        if self.item.question:
            tag("p", self.item.question, "asked")

    def view(self) -> None:
        say, review = self.visit.say, self.item.review
        assert review is not None
        with self._anew():
            tag("p", self.item.said, "said")
            with box("actions"):
                if review.verdict is not Verdict.approved:
                    button(say("Approve"), self.approve, kind="main", picture="check")
                button(say("Edit"), self.edit, picture="edit")
                if review.verdict is not Verdict.rejected:
                    button(say("Reject"), self.ask_reason, kind="danger", picture="close")
                button(say("Back to the queue"), self.back, picture="undo")
                button(say("Leave it as it is"), self.leave_it, kind="quiet")
