"""The second look: approved replies that look like poison, to be released or struck.

Whoever reviews may read it; operators and owners decide, and nobody releases what they
approved themselves while another could.
"""

from dataclasses import dataclass

from nicegui.elements.mixins.text_element import TextElement

from app.console.layout import add_page
from app.console.pieces import asking_button, box, button, chip, empty, heading, link, tag, when
from app.console.visit import Desk, Visit
from finetune.second_look import Aside, count_aside, is_alone, read_aside, release, strike
from store import UserRole

SHOWN = 30
"""Cards on the page; the next ones come as these are decided."""
KINDS = {
    "instruction": "Speaks to the model",
    "link": "Unknown link",
    "burst": "Burst",
    "outlier": "Odd answer",
    "reviewer": "Very many by one reviewer",
}


@dataclass(frozen=True)
class Waiting:
    """What the page shows; `is_alone`: nobody else could release what this user approved."""

    items: list[Aside]
    count: int
    is_alone: bool


def add(desk: Desk) -> None:
    add_page(desk, "/second-look", "Second look", _show)


async def _show(visit: Visit) -> None:
    await _Page(visit).look()


class _Page:
    """The cards by reply: one that somebody reads stays where it is while others come and go."""

    def __init__(self, visit: Visit) -> None:
        self.visit, say = visit, visit.say
        self.look = visit.live(self._read, self._show)
        self.cards: dict[int, TextElement] = {}
        about = say(
            "Approved, but suspicious. Neither learnt nor looked up until released; struck, it is "
            "rejected."
        )
        with heading(say("Second look"), about):
            self.count = tag("span", "", "muted", role="status")
        if not visit.may(UserRole.operator):
            tag("p", say("An operator or an owner decides."), "note")
        self.list = box("queue")
        self.nothing = box()
        with self.nothing:
            empty("verified_user", say("Nothing waits for a second look"), say(NOTHING))

    async def _read(self) -> Waiting:
        async with self.visit.database.read() as session:
            return Waiting(
                items=await read_aside(session, SHOWN),
                count=await count_aside(session),
                is_alone=await is_alone(session, self.visit.user.name),
            )

    async def _show(self, waiting: Waiting) -> None:
        wanted = {item.reply_id: item for item in waiting.items}
        for reply_id in [key for key in self.cards if key not in wanted]:
            self.cards.pop(reply_id).delete()
        for reply_id, item in wanted.items():
            if reply_id not in self.cards:
                with self.list:
                    self.cards[reply_id] = self._make_card(item, waiting.is_alone)
        say = self.visit.say
        self.count.text = say("{n} to look at again", n=waiting.count) if waiting.count else ""
        self.nothing.set_visibility(not wanted)

    def _make_card(self, item: Aside, is_alone: bool) -> TextElement:
        visit, say = self.visit, self.visit.say
        with box("card reply", "article", aria_label=item.question[:80], tabindex="-1") as card:
            with box("meta"):
                link(say("Conversation"), f"/conversations/{item.conversation_id}")
                tag("span", say("Approved by {name}", name=item.reviewer), "muted")
                with tag("span", say("Set aside") + " ", "muted"):
                    when(visit, item.since)
            tag("p", item.question, "asked")
            tag("p", item.answer, "said")
            with box("suspicion", "ul"):
                for reason in item.reasons:
                    with box("", "li"):
                        chip(say(KINDS.get(reason.kind, reason.kind)), "warn")
                        tag("span", visit.retell(reason.why))
            self._buttons(item, is_alone)
        return card

    def _buttons(self, item: Aside, is_alone: bool) -> None:
        visit, say = self.visit, self.visit.say
        may = visit.may(UserRole.operator)
        is_own = may and item.reviewer == visit.user.name and not is_alone

        async def let_in() -> None:
            await self._decide(item, is_right=True)

        async def reject() -> None:
            await self._decide(item, is_right=False)

        with box("actions"):
            button(
                say("Release"),
                visit.doing(UserRole.operator, let_in),
                kind="main",
                picture="check",
                is_off=is_own or not may,
            )
            asking_button(
                visit,
                say("Strike"),
                say("Strike this reply?"),
                say("It is rejected after all: learnt nowhere, and no longer looked up."),
                visit.doing(UserRole.operator, reject),
                picture="block",
                kind="danger",
            )
            if is_own:
                tag("span", say(OWN), "muted")

    async def _decide(self, item: Aside, *, is_right: bool) -> None:
        visit, say = self.visit, self.visit.say
        following = self._after(item.reply_id)
        try:
            knowledge = visit.nod.knowledge
            if is_right:
                await release(visit.database, knowledge, [item.reply_id], visit.user.name)
                visit.tell(say("Released: looked up again, and the next retrain may learn it"))
            else:
                await strike(visit.database, knowledge, [item.reply_id], visit.user.name)
                visit.tell(say("Struck: it is rejected"))
        finally:  # also where somebody was faster: the card goes
            await self.look()
        if following in self.cards:  # the keyboard goes on where the card was
            visit.run_script(f"getHtmlElement({self.cards[following].id})?.focus()")

    def _after(self, reply_id: int) -> int | None:
        keys = list(self.cards)
        place = keys.index(reply_id) if reply_id in keys else len(keys)
        return next(iter(keys[place + 1 :] or keys[:place][-1:]), None)


NOTHING = (
    "Before a retrain, approved replies that look like poison are set aside here with the reason: "
    "bursts, words to the model, unknown links, odd answers, one reviewer in a hurry."
)
OWN = "You approved it yourself: another operator or owner has to release it."
