"""The pieces that pages are made of: plain HTML elements in the clothes of style.css.

Texts always become text nodes, whatever they hold.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

from app.console.visit import Visit
from store import UserRole

Act = Callable[[], Awaitable[None]] | Callable[[], None]
_ONCE = "event => event.detail < 2 && emit()"
"""The second click of a double one counts for nothing: by then it may be another button's."""


def tag(name: str, text: str = "", classes: str = "", **attributes: object) -> TextElement:
    """An element with text; an attribute's `_` stands for `-`, and none or False leaves it out."""
    element = TextElement(tag=name, text=text)
    element.classes(classes)
    for key, value in attributes.items():
        if value is not None and value is not False:
            element.props[key.rstrip("_").replace("_", "-")] = value
    return element


def box(classes: str = "", name: str = "div", **attributes: object) -> TextElement:
    """An element for others to stand in: `with box("row"): ...`."""
    return tag(name, "", classes, **attributes)


def icon(name: str) -> Element:
    """A pictogram beside words; readers of screens pass over it."""
    return ui.icon(name).props("aria-hidden=true")


def button(
    label: str,
    act: Act,
    *,
    kind: str = "",
    picture: str | None = None,
    key: str | None = None,
    hint: str | None = None,
    is_off: bool = False,
) -> TextElement:
    """A real button. `key` is shown as the key that does the same."""
    element = box(
        f"button {kind}", "button", type="button", title=hint, disabled=is_off, aria_label=hint
    )
    with element:
        if picture:
            icon(picture)
        if label:
            tag("span", label)
        if key:
            tag("kbd", key, aria_hidden="true")
    if not is_off:
        element.on("click", act, js_handler=_ONCE)
    return element


@contextmanager
def dialog_of(title: str, classes: str = "") -> Iterator[ui.dialog]:
    """A dialog under its title, which is also its name for screen readers; closed at first."""
    with ui.dialog() as dialog, box(f"card {classes}"):
        dialog.props["aria-label"] = title
        tag("h2", title)
        yield dialog


def asking_button(
    visit: Visit,
    label: str,
    question: str,
    more: str,
    act: Act,
    *,
    picture: str,
    kind: str = "",
    needed: UserRole = UserRole.operator,
    warning: str = "",
) -> TextElement:
    """A button that asks once more; off for those who may not.

    Args:
        warning: what speaks against it, and has to be agreed to.
    """
    with dialog_of(question) as dialog:
        tag("p", more)
        if warning:
            tag("p", warning, "note warn", role="alert")

        async def go() -> None:
            dialog.close()
            if (done := act()) is not None:
                await done

        with box("actions"):
            if warning:
                button(visit.say("Yes, all the same"), go, kind="danger")
            else:
                button(label, go, kind=kind or "main")
            button(visit.say("Leave it as it is"), dialog.close, kind="quiet")
    return button(label, dialog.open, kind=kind, picture=picture, is_off=not visit.may(needed))


def link(label: str, path: str, classes: str = "") -> TextElement:
    """To another page of the console; `path` without its prefix."""
    return tag("a", label, classes, href=f"/console{path}")


def chip(text: str, kind: str = "", *, title: str | None = None) -> TextElement:
    return tag("span", text, f"chip {kind}", title=title)


def when(visit: Visit, at: datetime | None) -> TextElement:
    """A time: how long ago, and exactly when under the pointer."""
    exact = at.strftime("%Y-%m-%d %H:%M:%S UTC") if at else None
    iso = at.isoformat() if at else None
    return tag("time", visit.ago(at), "muted", title=exact, datetime=iso)


def empty(picture: str, title: str, more: str = "") -> None:
    """What stands where there is nothing to show."""
    with box("empty", role="status"):
        icon(picture)
        tag("h2", title)
        if more:
            tag("p", more, "muted")


def heading(title: str, more: str = "") -> TextElement:
    """A page's title; what is put into the returned row stands at its right."""
    row = box("heading", "header")
    with row, box():
        tag("h1", title)
        if more:
            tag("p", more, "muted")
    return row


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values, one below the other."""
    with box("facts", "dl"):
        for name, value in pairs:
            if value not in (None, ""):
                tag("dt", name)
                tag("dd", str(value))


def table(
    headers: Sequence[str], *, label: str, numbers: Sequence[int] = (), lesser: Sequence[int] = ()
) -> TextElement:
    """A table that scrolls in itself on narrow screens; rows go into what is returned.

    `lesser` are the places of columns that a phone does without, so that the rest fits.
    """
    without = " ".join(f"without-{place + 1}" for place in lesser)
    frame = box("scroll")
    if not lesser:  # it may be wider than its place: the keyboard has to get there to move it
        frame.props.update({"tabindex": 0, "role": "region", "aria-label": label})
    with frame, box(f"table {without}", "table", aria_label=label):
        with box("", "thead"), box("", "tr"):
            for place, header in enumerate(headers):
                if header:
                    tag("th", header, "number" if place in numbers else "", scope="col")
                else:  # above buttons; a heading without words would be read as an empty one
                    tag("td")
        return box("", "tbody")


def cells(*values: object, numbers: Sequence[int] = ()) -> None:
    """One row of plain texts; `numbers` are the places of those that stand at the right."""
    with box("", "tr"):
        for place, value in enumerate(values):
            tag("td", "" if value is None else str(value), "number" if place in numbers else "")


def field(label: str, element: Any, *, hint: str = "") -> Any:
    """A label above an input, told to screen readers as well."""
    element.props("outlined dense hide-bottom-space")
    element.props["aria-label"] = label
    wrapper = box("field")
    element.move(wrapper)
    with wrapper:
        tag("span", label, "label", aria_hidden="true").move(wrapper, 0)
        if hint:
            tag("span", hint, "hint")
    return element


def read_count(element: ui.number, most: int = 1_000_000) -> int:
    """What was typed into a field for whole numbers; an emptied one is not 0.

    Raises:
        ValueError: there is no number, or none that fits.
    """
    if element.value is None or not 0 <= element.value <= most:
        raise ValueError(f"{element.props['aria-label']}: give a number from 0 to {most}")
    return int(element.value)


def save_button(visit: Visit, save: Any, needed: UserRole = UserRole.operator) -> None:
    """At the end of a form; off for those who may not."""
    with box("actions wide"):
        button(visit.say("Save"), visit.doing(needed, save), is_off=not visit.may(needed))


def percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
