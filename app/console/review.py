"""The review queue: approve, edit or reject what the bot said, with the keyboard if one likes."""

import math
from dataclasses import dataclass

from nicegui import events, ui
from nicegui.elements.mixins.text_element import TextElement
from sqlalchemy import func, select

from app.console.layout import add_page
from app.console.pieces import box, button, chip, empty, field, heading, icon, link, tag, when
from app.console.visit import Act, Desk, Visit
from bot.review import decide
from store import Conversation, Reply, ReplyStatus, Turn, UserRole, Verdict

SHOWN = 30
"""Cards on the page; the next ones come as these are decided."""

KEYS = (
    ("j", "Next reply"),
    ("k", "Previous reply"),
    ("a", "Approve"),
    ("e", "Edit"),
    ("r", "Reject"),
    ("Ctrl ↵", "Save what is being edited"),
    ("Esc", "Leave it as it is"),
    ("?", "Show these keys"),
)
REASONS = ("Wrong fact", "Not our policy", "Does not answer", "Tone")


@dataclass(frozen=True)
class Item:
    """A reply that waits for a verdict, with what was asked."""

    reply: Reply
    question: str
    channel: str
    customer_name: str | None


@dataclass(frozen=True)
class Queue:
    items: tuple[Item, ...]
    count: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Queue) and self._key() == other._key()

    __hash__ = None  # type: ignore[assignment]

    def _key(self) -> tuple[int, list[tuple[int, str]]]:
        return self.count, [(item.reply.id, item.reply.status) for item in self.items]


def add(desk: Desk) -> None:
    add_page(desk, "/", "Review", _show)


async def read_queue(visit: Visit) -> Queue:
    """Those that hold a customer up come first, then the oldest."""
    rows = (
        select(Reply, Turn.text, Conversation.channel, Conversation.customer_name)
        .join(Conversation, Conversation.id == Reply.conversation_id)
        .outerjoin(Turn, Turn.id == Reply.turn_id)
        .where(Reply.needs_review)
        .order_by((Reply.status == ReplyStatus.held).desc(), Reply.created_at, Reply.id)
        .limit(SHOWN)
    )
    count = select(func.count()).select_from(Reply).where(Reply.needs_review)
    async with visit.database.read() as session:
        items = tuple(
            Item(reply, question or "", channel, name)
            for reply, question, channel, name in await session.execute(rows)
        )
        return Queue(items, await session.scalar(count) or 0)


async def _show(visit: Visit) -> None:
    page = _Page(visit)
    look = visit.live(lambda: read_queue(visit), page.show)
    page.look = look
    await look()
    ui.keyboard(on_key=page.press, repeating=False, ignore=["input", "select", "textarea"])


class _Page:
    """The cards by reply: a card that is being edited stays as it is while others come and go."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.look: Act = self._nothing
        self.cards: dict[int, _Card] = {}
        self.chosen: int | None = None
        with heading(visit.say("Review")):
            self.count = tag("span", "", "muted", role="status")
            button(
                "", self._show_keys, kind="quiet", picture="keyboard", key="?",
                hint=visit.say("Keys"),
            )  # fmt: skip
        self.list = box("queue")
        self.nothing = box()
        with self.nothing:
            empty(
                "task_alt",
                visit.say("Nothing waits for you"),
                visit.say("New replies appear here by themselves."),
            )
        self.keys = _keys_dialog(visit)

    async def show(self, queue: Queue) -> None:
        wanted = {item.reply.id: item for item in queue.items}
        before = list(self.cards)
        for reply_id in [key for key in self.cards if key not in wanted]:
            self.cards.pop(reply_id).leave()
        for place, (reply_id, item) in enumerate(wanted.items()):
            if reply_id not in self.cards:
                with self.list:
                    self.cards[reply_id] = _Card(self, item)
            self.cards[reply_id].frame.move(self.list, place)
        self.cards = {reply_id: self.cards[reply_id] for reply_id in wanted}
        self.count.text = self.visit.say("{n} to review", n=queue.count) if queue.count else ""
        self.nothing.set_visibility(not wanted)
        self._keep_choice(before)

    def _keep_choice(self, before: list[int]) -> None:
        """When the chosen card has gone, the one after it is chosen."""
        if self.chosen in self.cards:
            return
        after = before[before.index(self.chosen) + 1 :] if self.chosen in before else []
        self.choose(next((key for key in (*after, *self.cards) if key in self.cards), None))

    def choose(self, reply_id: int | None, *, scroll: bool = False) -> None:
        if self.chosen in self.cards:
            self.cards[self.chosen].frame.classes(remove="chosen")
        self.chosen = reply_id
        if reply_id in self.cards:
            self.cards[reply_id].frame.classes(add="chosen")
            if scroll:
                self.cards[reply_id].bring_into_view()

    async def press(self, event: events.KeyEventArguments) -> None:
        held = event.modifiers
        if not event.action.keydown or held.ctrl or held.meta or held.alt:
            return
        card = self.cards.get(self.chosen or 0)
        match event.key.name:
            case "j" | "ArrowDown":
                self._step(1)
            case "k" | "ArrowUp":
                self._step(-1)
            case "?":
                self._show_keys()
            case "a" if card:
                await card.approve()
            case "e" if card:
                card.edit()
            case "r" if card:
                card.ask_reason()

    def _step(self, by: int) -> None:
        keys = list(self.cards)
        if keys:
            place = keys.index(self.chosen) + by if self.chosen in keys else 0
            self.choose(keys[max(0, min(place, len(keys) - 1))], scroll=True)

    def _show_keys(self) -> None:
        self.keys.open()

    async def _nothing(self) -> None: ...


class _Card:
    """One reply and what can be done with it."""

    def __init__(self, page: _Page, item: Item) -> None:
        self.page, self.item, self.visit = page, item, page.visit
        self.frame = box("card reply", "article", aria_label=item.question[:80])
        self.frame.on("click", lambda: page.choose(item.reply.id), [])
        self.approve = self._deciding(Verdict.approved)
        self.view()

    def leave(self) -> None:
        self.frame.delete()

    def bring_into_view(self) -> None:
        ui.run_javascript(f"getHtmlElement({self.frame.id})?.scrollIntoView({{block: 'nearest'}})")

    def view(self) -> None:
        """The card as it is read."""
        say = self.visit.say
        with self._anew():
            tag("p", self.item.reply.text or self.item.reply.draft, "said")
            _show_story(self.visit, self.item.reply)
            with box("actions"):
                button(say("Approve"), self.approve, kind="main", picture="check", key="a")
                button(say("Edit"), self.edit, picture="edit", key="e")
                button(say("Reject"), self.ask_reason, kind="quiet", picture="close", key="r")

    def edit(self) -> None:
        """The card with the reply to be changed in place."""
        say, reply = self.visit.say, self.item.reply
        with self._anew():
            text = field(say("Reply"), ui.textarea(value=reply.text).props("autogrow autofocus"))
            also = field(
                say("Also asked as"),
                ui.textarea(placeholder=say("One phrasing a line")).props("autogrow"),
                hint=say("Several phrasings teach a fact; one rarely does."),
            )
            save = self._deciding(Verdict.edited, text=text, also=also)
            with box("actions"):
                button(say("Save"), save, kind="main", picture="check", key="Ctrl ↵")
                button(say("Cancel"), self.view, kind="quiet", key="Esc")
        for element in (text, also):
            element.on("keydown.ctrl.enter.prevent", save, [])
            element.on("keydown.meta.enter.prevent", save, [])
            element.on("keydown.esc", self.view, [])
        self.bring_into_view()

    def ask_reason(self) -> None:
        """The card with the question why not."""
        say = self.visit.say
        with self._anew():
            tag("p", self.item.reply.text, "said gone")
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

    def _anew(self) -> TextElement:
        self.frame.clear()
        with self.frame:
            _show_question(self.visit, self.item)
        return self.frame

    def _deciding(
        self,
        verdict: Verdict,
        *,
        text: ui.textarea | None = None,
        also: ui.textarea | None = None,
        reason: ui.input | None = None,
    ) -> Act:
        async def give_verdict() -> None:
            try:
                await decide(
                    self.visit.database,
                    self.visit.nod.knowledge,
                    self.item.reply.id,
                    verdict,
                    text=(text.value or "").strip() if text else None,
                    phrasings=_lines(also.value if also else ""),
                    reason=(reason.value or "").strip() if reason else "",
                    reviewer=self.visit.user.name,
                )
                self.visit.tell(self.visit.say(_DONE[verdict]))
            finally:  # also where somebody was faster: the card goes
                await self.page.look()

        return self.visit.doing(UserRole.reviewer, give_verdict)


_DONE = {
    Verdict.approved: "Approved",
    Verdict.edited: "Saved and approved",
    Verdict.rejected: "Rejected",
}


def _lines(text: str | None) -> list[str]:
    return [line.strip() for line in (text or "").splitlines() if line.strip()]


def _show_question(visit: Visit, item: Item) -> None:
    reply = item.reply
    with box("meta"):
        chip(item.channel, "plain")
        link(item.customer_name or visit.say("Customer"), f"/conversations/{reply.conversation_id}")
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
            tag("span", reply.reason.removeprefix(f"{reply.way.value}: "))
        if reply.mean_logprob is not None:
            _meter(say("Sure"), math.exp(min(0.0, reply.mean_logprob)))
        if reply.agreement is not None:
            _meter(say("Agrees with sources"), reply.agreement)
    if reply.sources:
        with box("sources", "details"):
            with box("", "summary"):
                icon("menu_book")
                tag("span", say("{n} sources", n=len(reply.sources)))
            with box("", "ul"):
                for source in reply.sources:
                    with box("", "li"):
                        tag("span", str(source.get("title") or source.get("source") or "?"))
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


def _keys_dialog(visit: Visit) -> ui.dialog:
    with ui.dialog() as dialog, box("card keys"):
        tag("h2", visit.say("Keys"))
        with box("facts", "dl"):
            for key, what in KEYS:
                with box("", "dt"):
                    tag("kbd", key)
                tag("dd", visit.say(what))
        button(visit.say("Close"), dialog.close)
    return dialog
