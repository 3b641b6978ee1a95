"""A card of the review queue: one reply, its story, and what can be done with it."""

import math
from collections.abc import Awaitable, Callable

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from app.console.drafts import drop_draft, keep_draft
from app.console.pieces import box, button, chip, field, icon, link, tag, when
from app.console.queue import Item
from app.console.tags import tags_field
from app.console.visit import Act, Visit
from bot.tags import clean_tags, set_tags
from store import Reply, ReplyStatus, Review, UserRole, Verdict

REASONS = ("Wrong fact", "Not our policy", "Does not answer", "Tone")

Give = Callable[..., Awaitable[Review]]
"""`bot.review.decide`, or `bot.reconsider.change_verdict`, from `reply_id` on."""
Done = Callable[[Item, Review], Awaitable[None]]


class Card:
    """One reply and what can be done with it."""

    def __init__(self, visit: Visit, item: Item, *, give: Give, done: Done, refresh: Act) -> None:
        """Empty until `view`.

        Args:
            give: records the verdict.
            done: told of it, before `refresh` looks at the rows anew.
        """
        self.visit, self.item = visit, item
        self._give, self._done, self._refresh = give, done, refresh
        self.is_changing = False
        """Something may be written in it that is not saved."""
        self._draft = f"reply {item.reply.id}"
        self.frame = box("card reply", "article", aria_label=item.question[:80] or None)
        self.approve = self._deciding(Verdict.approved)

    def leave(self) -> None:
        self.frame.delete()

    def bring_into_view(self) -> None:
        self.visit.run_script(
            f"getHtmlElement({self.frame.id})?.scrollIntoView({{block: 'nearest'}})"
        )

    def take_focus(self) -> None:
        """For the keyboard and for screen readers."""
        self.frame.props["tabindex"] = -1
        self.visit.run_script(f"getHtmlElement({self.frame.id})?.focus({{preventScroll: true}})")

    def view(self) -> None:
        """The card as it is read."""
        say = self.visit.say
        with self._anew():
            tag("p", self.item.reply.text or self.item.reply.draft, "said")
            _show_phrasings(self.visit, self.item.reply)
            _show_story(self.visit, self.item.reply)
            with box("actions"):
                button(say("Approve"), self.approve, kind="main", picture="check", key="a")
                button(say("Edit"), self.edit, picture="edit", key="e")
                button(say("Reject"), self.ask_reason, kind="quiet", picture="close", key="r")

    def edit(self) -> None:
        """The card with the reply to be changed in place."""
        say, reply, review = self.visit.say, self.item.reply, self.item.review
        written = (review and review.text) or self.item.said
        phrasings = (review and review.phrasings) or reply.phrasings
        with self._anew(is_changing=True):
            text = field(say("Reply"), ui.textarea(value=written).props("autogrow autofocus"))
            also = field(
                say("Also asked as"),
                ui.textarea(
                    value="\n".join(phrasings), placeholder=say("One phrasing a line")
                ).props("autogrow"),
                hint=say("Several phrasings teach a fact; one rarely does."),
            )
            reason = field(
                say("Why?"),
                ui.input(placeholder=say("What was wrong, if you like")).props("maxlength=500"),
            )
            tags = tags_field(self.visit, list(review.tags) if review else [])
            save = self._deciding(Verdict.edited, text=text, also=also, reason=reason, tags=tags)
            with box("actions"):
                button(say("Save"), save, kind="main", picture="check", key="Ctrl ↵")
                button(say("Cancel"), self.leave_edit, kind="quiet", key="Esc")
        for element in (text, also, reason, tags):
            element.on("keydown.ctrl.enter.prevent", save, [])
            element.on("keydown.meta.enter.prevent", save, [])
            element.on("keydown.esc", self.leave_edit, [])
        keep_draft(self.visit, text, self._draft)
        self.bring_into_view()

    def leave_edit(self) -> None:
        """What was written is given up."""
        drop_draft(self.visit, self._draft)
        self.view()

    def ask_reason(self) -> None:
        """The card with the question why not."""
        say = self.visit.say
        with self._anew(is_changing=True):
            tag("p", self.item.said, "said gone")
            reason = field(
                say("Why not?"),
                ui.input(placeholder=say("A few words for whoever learns from it")).props(
                    "autofocus maxlength=500"
                ),
            )
            reject = self._deciding(Verdict.rejected, reason=reason)
            with box("actions"):
                for words in REASONS:
                    button(
                        say(words),
                        lambda words=words: reason.set_value(say(words)),
                        kind="small",
                    )
            with box("actions"):
                button(say("Reject"), reject, kind="danger", picture="close", key="↵")
                button(say("Cancel"), self.view, kind="quiet", key="Esc")
        reason.on("keydown.enter.prevent", reject, [])
        reason.on("keydown.esc", self.view, [])
        self.bring_into_view()

    def _anew(self, *, is_changing: bool = False) -> TextElement:
        self.is_changing = is_changing
        self.frame.clear()
        with self.frame:
            self.show_question()
        return self.frame

    def show_question(self) -> None:
        """Above the reply, in every state of the card."""
        _show_question(self.visit, self.item)

    def _deciding(
        self,
        verdict: Verdict,
        *,
        text: ui.textarea | None = None,
        also: ui.textarea | None = None,
        reason: ui.input | None = None,
        tags: ui.input | None = None,
    ) -> Act:
        async def give_verdict() -> None:
            wanted = clean_tags((tags.value or "").split() if tags else [])
            try:
                review = await self._give(
                    self.item.reply.id,
                    verdict,
                    text=(text.value or "").strip() if text else None,
                    phrasings=(also.value or "").splitlines() if also else None,
                    reason=(reason.value or "").strip() if reason else "",
                    reviewer=self.visit.user.name,
                )
                if tags is not None and wanted != review.tags:
                    await self._tag(wanted)
                drop_draft(self.visit, self._draft)
                await self._done(self.item, review)
            finally:  # also where somebody was faster: the card goes
                await self._refresh()

        return self.visit.doing(UserRole.reviewer, give_verdict)

    async def _tag(self, tags: list[str]) -> None:
        async with self.visit.database.write() as session:
            await set_tags(session, self.item.reply.id, tags, who=self.visit.user.name)


def _show_phrasings(visit: Visit, reply: Reply) -> None:
    """What came with an imported pair, and is approved with it."""
    if reply.phrasings:
        with box("sources", "details"):
            with box("", "summary"):
                icon("alt_route")
                tag("span", visit.say("Other phrasings: {n}", n=len(reply.phrasings)))
            with box("", "ul"):
                for phrasing in reply.phrasings:
                    tag("li", phrasing)


def _show_question(visit: Visit, item: Item) -> None:
    reply = item.reply
    with box("meta"):
        chip(visit.say(item.channel), "plain")
        name = visit.name_of(item.customer_name, reply.conversation_id)
        link(name, f"/conversations/{reply.conversation_id}")
        when(visit, reply.created_at)
        if reply.status is ReplyStatus.held:
            chip(visit.say("Customer is waiting"), "warn")
    tag("p", item.question, "asked")


def _show_story(visit: Visit, reply: Reply) -> None:
    """How the reply came about: the way, why, how sure, and what it rests on."""
    say = visit.say
    with box("story"):
        chip(say(reply.way.value), f"way {reply.way.value}")
        if reply.reason:
            tag("span", say(reply.reason).removeprefix(f"{reply.way.value}: "))
        if reply.mean_logprob is not None:
            _meter(say("Sure"), math.exp(min(0.0, reply.mean_logprob)))
        if reply.agreement is not None:
            _meter(say("Agrees with sources"), reply.agreement)
    if reply.sources:
        with box("sources", "details"):
            with box("", "summary"):
                icon("menu_book")
                tag("span", say("Sources: {n}", n=len(reply.sources)))
            with box("", "ul"):
                for source in reply.sources:
                    with box("", "li"):
                        title = str(source.get("title") or source.get("source") or "?")
                        if reply_id := source.get("reply_id"):
                            link(f"{say(title)} #{reply_id}", f"/lineage?of=reply:{reply_id}")
                        else:
                            tag("span", title)
                        if (similarity := source.get("similarity")) is not None:
                            tag("span", f"{similarity:.2f}", "muted")


def _meter(name: str, share: float) -> None:
    share = max(0.0, min(1.0, share))
    with box("meter", title=f"{name}: {share:.0%}"):
        tag("span", name, "muted")
        kind = "good" if share >= 0.75 else "fair" if share >= 0.5 else "poor"
        with box(f"bar {kind}", role="img", aria_label=f"{name}: {share:.0%}"):
            box(style=f"width: {share:.0%}")
        tag("span", f"{share:.0%}")
