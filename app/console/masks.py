"""The masks on the settings page: what the model is told first, and how it is asked."""

from typing import Any

from nicegui import ui

from app.console.pieces import box, button, chip, field, save_button, tag
from app.console.visit import Visit
from bot.masks import edit_mask, list_masks, set_default
from store import Mask, UserRole


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
                _mask(visit, mask, show)
            if visit.may(UserRole.operator):
                _new_mask(visit, show)

    await show()


def _mask(visit: Visit, mask: Mask, refresh: Any) -> None:
    say = visit.say

    async def make_default() -> None:
        async with visit.database.write() as session:
            await set_default(session, mask.name, who=visit.user.name)
        await refresh()

    with box("card mask", "details"):
        with box("", "summary"):
            tag("strong", mask.name)
            if mask.is_default:
                chip(say("Default"), "good")
            tag("span", mask.system_prompt, "muted cut")
        with box("stack"):
            prompt = field(
                say("System prompt"), ui.textarea(value=mask.system_prompt).props("autogrow")
            )
            with box("row"):
                temperature = field(
                    say("Temperature"),
                    ui.number(value=mask.temperature, min=0, max=2, step=0.1),
                )
                tokens = field(
                    say("Tokens at most"),
                    ui.number(value=mask.max_tokens, min=1, max=4096, precision=0),
                )
            if mask.few_shot:
                tag("p", say("{n} turns are shown first", n=len(mask.few_shot)), "muted")

            async def save() -> None:
                async with visit.database.write() as session:
                    await edit_mask(
                        session,
                        mask.name,
                        who=visit.user.name,
                        system_prompt=prompt.value or "",
                        temperature=float(temperature.value or 0),
                        max_tokens=int(tokens.value or 0),
                    )
                visit.tell(say("Saved"))
                await refresh()

            save_button(visit, save)
            if not mask.is_default and visit.may(UserRole.operator):
                button(say("Make it the default"), visit.doing(UserRole.operator, make_default))


def _new_mask(visit: Visit, refresh: Any) -> None:
    with box("row"):
        name = field(visit.say("New mask"), ui.input().props("maxlength=64"))

        async def make() -> None:
            if wanted := (name.value or "").strip():
                async with visit.database.write() as session:
                    await edit_mask(session, wanted, who=visit.user.name)
                await refresh()

        button(visit.say("Add"), visit.doing(UserRole.operator, make), picture="add")
