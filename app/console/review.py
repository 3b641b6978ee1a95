"""The review page: approve, edit or reject what the bot said, with the keyboard if one likes."""

from functools import partial

from nicegui import events, ui

from app.console.card import Card
from app.console.layout import add_page
from app.console.pieces import box, button, dialog_of, empty, heading, tag
from app.console.queue import Item, Queue, read_queue
from app.console.undo import Undo
from app.console.visit import Desk, Visit
from bot.review import decide
from store import Review

KEYS = (
    ("j", "Next reply"),
    ("k", "Previous reply"),
    ("a", "Approve"),
    ("e", "Edit"),
    ("r", "Reject"),
    ("u", "Undo the last verdict"),
    ("Ctrl ↵", "Save what is being edited"),
    ("Esc", "Leave it as it is"),
    ("?", "Show these keys"),
)


def add(desk: Desk) -> None:
    add_page(desk, "/", "Review", _show)


async def _show(visit: Visit) -> None:
    page = _Page(visit)
    await page.look()
    ui.keyboard(on_key=page.press, repeating=False, ignore=["input", "select", "textarea"])


class _Page:
    """The cards by reply: a card that is being edited stays as it is while others come and go."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.look = visit.live(lambda: read_queue(visit), self.show)
        self.cards: dict[int, Card] = {}
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
        self.undo = Undo(visit, refresh=self.look, restored=self._choose_again)
        self.keys = _keys_dialog(visit)

    async def show(self, queue: Queue) -> None:
        wanted = {item.reply.id: item for item in queue.items}
        before = list(self.cards)
        for reply_id in [key for key in self.cards if key not in wanted]:
            self.cards.pop(reply_id).leave()
        for place, (reply_id, item) in enumerate(wanted.items()):
            if reply_id not in self.cards:
                with self.list:
                    self.cards[reply_id] = self._make_card(item)
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
        if not event.action.keydown or held.ctrl or held.meta or held.alt or self.keys.value:
            return  # behind the dialog nobody sees what a key would decide
        card = self.cards.get(self.chosen or 0)
        is_read = card is not None and not card.is_changing  # or what was written there were lost
        match event.key.name:
            case "j" | "ArrowDown":
                self._step(1)
            case "k" | "ArrowUp":
                self._step(-1)
            case "u":
                await self.undo.undo()
            case "?":
                self._show_keys()
            case "Escape" if card and not is_read:
                card.leave_edit()
            case "a" if card and is_read:
                await card.approve()
            case "e" if card and is_read:
                card.edit()
            case "r" if card and is_read:
                card.ask_reason()

    def _step(self, by: int) -> None:
        keys = list(self.cards)
        if keys:
            place = keys.index(self.chosen) + by if self.chosen in keys else 0
            self.choose(keys[max(0, min(place, len(keys) - 1))], scroll=True)

    def _show_keys(self) -> None:
        self.keys.open()

    def _choose_again(self, reply_id: int) -> None:
        """A verdict was taken back: go on where one was."""
        self.choose(reply_id, scroll=True)
        if reply_id in self.cards:
            self.cards[reply_id].take_focus()

    def _make_card(self, item: Item) -> Card:
        visit = self.visit
        give = partial(decide, visit.database, visit.nod.knowledge)
        card = Card(visit, item, give=give, done=self._done, refresh=self.look)
        card.frame.on("click", lambda: self.choose(item.reply.id), [])
        card.view()
        return card

    async def _done(self, item: Item, review: Review) -> None:
        self.undo.offer(item, review)


def _keys_dialog(visit: Visit) -> ui.dialog:
    with dialog_of(visit.say("Keys"), "keys") as dialog:
        with box("facts", "dl"):
            for key, what in KEYS:
                with box("", "dt"):
                    tag("kbd", key)
                tag("dd", visit.say(what))
        button(visit.say("Close"), dialog.close)
    return dialog
