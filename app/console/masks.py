"""The masks on the settings page: what the model is told first, and how it is asked."""

from typing import Any

from nicegui import ui

from app.console.pieces import box, button, chip, field, tag
from app.console.visit import Act, Visit
from bot.masks import MaskError, count_mask_tokens, edit_mask, list_masks, remove_mask, set_default
from store import Mask, UserRole
from store.text import clean_text


async def show_masks(visit: Visit) -> None:
    with box("section"):
        tag("h2", visit.say("Masks"))
        page = box("stack")

    async def show() -> None:
        async with visit.database.read() as session:
            masks = await list_masks(session)
        page.clear()
        with page:
            for mask in masks:
                _MaskCard(visit, mask, show)
            if visit.may(UserRole.operator):
                _new_mask(visit, show)

    await show()


class _MaskCard:
    """One mask, folded up; open it is a form."""

    def __init__(self, visit: Visit, mask: Mask, refresh: Act) -> None:
        self.visit, self.mask, self.refresh = visit, mask, refresh
        self.exchanges: list[tuple[Any, Any]] = []
        with box("card mask", "details"):
            with box("", "summary"):
                tag("strong", mask.name)
                if mask.is_default:
                    chip(visit.say("Default"), "good")
                tag("span", mask.system_prompt, "muted cut")
            with box("stack"):
                self._form()

    def _form(self) -> None:
        say, mask = self.visit.say, self.mask
        prompt = ui.textarea(value=mask.system_prompt, on_change=self._count)
        self.prompt = field(say("System prompt"), prompt.props("autogrow"))
        with box("row"):
            self.temperature = field(
                say("Temperature"), ui.number(value=mask.temperature, min=0, max=2, step=0.1)
            )
            self.tokens = field(
                say("Longest answer, in tokens"),
                ui.number(value=mask.max_tokens, min=1, max=4096, precision=0),
            )
        tag("h3", say("Exchanges that the model is shown first"))
        self.rows = box("stack")
        for start in range(0, len(mask.few_shot), 2):
            asked, told = mask.few_shot[start : start + 2]
            self._exchange(asked["content"], told["content"])
        with box("actions"):
            button(say("Add an exchange"), self._exchange, kind="small", picture="add")
        self.length = tag("p", "", "muted", role="status")
        self._count()
        self._buttons()

    def _exchange(self, asked: str = "", told: str = "") -> None:
        say = self.visit.say
        with self.rows, box("exchange") as row:
            question = ui.textarea(value=asked, on_change=self._count).props("autogrow")
            answer = ui.textarea(value=told, on_change=self._count).props("autogrow")
            pair = (field(say("Customer"), question), field(say("Answer"), answer))
            self.exchanges.append(pair)

            def remove() -> None:
                self.exchanges.remove(pair)
                row.delete()
                self._count()

            button("", remove, kind="quiet", picture="delete", hint=say("Remove the exchange"))

    def _few_shot(self) -> list[dict[str, str]]:
        """An exchange of which nothing was filled in is none."""
        pairs = [[(element.value or "").strip() for element in pair] for pair in self.exchanges]
        return [
            {"role": role, "content": words}
            for pair in pairs
            if any(pair)
            for role, words in zip(("user", "assistant"), pair, strict=True)
        ]

    def _count(self) -> None:
        """How much of the budget the words take; `edit_mask` refuses what is over it."""
        most = self.visit.nod.settings.mask_tokens
        took = count_mask_tokens(clean_text(self.prompt.value or ""), self._few_shot())
        self.length.text = self.visit.say("{n} of {most} tokens", n=took, most=most)
        self.length.classes(**{"add" if took > most else "remove": "over"})

    def _buttons(self) -> None:
        visit, say = self.visit, self.visit.say
        if not visit.may(UserRole.operator):
            return
        with box("actions"):
            button(say("Save"), visit.doing(UserRole.operator, self._save))
            if not self.mask.is_default:
                become = visit.doing(UserRole.operator, self._make_default)
                button(say("Make it the default"), become)
                gone = visit.doing(UserRole.operator, self._remove)
                button(say("Remove"), gone, kind="quiet", picture="delete")

    async def _save(self) -> None:
        few_shot = self._few_shot()
        if not all(turn["content"] for turn in few_shot):
            raise MaskError("an exchange needs both its question and its answer")
        async with self.visit.database.write() as session:
            await edit_mask(
                session,
                self.mask.name,
                who=self.visit.user.name,
                within_tokens=self.visit.nod.settings.mask_tokens,
                system_prompt=self.prompt.value or "",
                few_shot=few_shot,
                temperature=float(self.temperature.value or 0),
                max_tokens=int(self.tokens.value or 0),
            )
        self.visit.tell(self.visit.say("Saved"))
        await self.refresh()

    async def _make_default(self) -> None:
        async with self.visit.database.write() as session:
            await set_default(session, self.mask.name, who=self.visit.user.name)
        await self.refresh()

    async def _remove(self) -> None:
        async with self.visit.database.write() as session:
            await remove_mask(session, self.mask.name, who=self.visit.user.name)
        await self.refresh()


def _new_mask(visit: Visit, refresh: Act) -> None:
    with box("row"):
        name = field(visit.say("New mask"), ui.input().props("maxlength=64"))

        async def make() -> None:
            if wanted := (name.value or "").strip():
                async with visit.database.write() as session:
                    if wanted in [each.name for each in await list_masks(session)]:
                        raise MaskError(f"there is a mask {wanted!r} already")
                    await edit_mask(session, wanted, who=visit.user.name)
                await refresh()

        button(visit.say("Add"), visit.doing(UserRole.operator, make), picture="add")
