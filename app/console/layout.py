"""The frame of every page: where one can go at the left, how Nod is doing at the top."""

import hashlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from fastapi import Request
from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement
from sqlalchemy import func, select

from app.console.pieces import box, empty, icon, link, tag
from app.console.visit import Desk, Visit
from app.console.words import Language
from finetune.second_look import count_aside
from store import (
    Conversation,
    ModelVersion,
    Reply,
    Run,
    Stage,
    Switches,
    UserRole,
)
from store.switches import read_lost_switches, read_switches

LOOK = Path(__file__).parent / "look"
BASE = {"system": None, "light": False, "dark": True}

PLACES = (
    ("/", "Review", "rule"),
    ("/second-look", "Second look", "gpp_maybe"),
    ("/conversations", "Conversations", "forum"),
    ("/knowledge", "Knowledge", "menu_book"),
    ("/runs", "Runs", "model_training"),
    ("/models", "Models", "layers"),
    ("/settings", "Settings", "tune"),
)
"""Path, name and pictogram of each place."""

_CHINESE_POPUPS = """
addEventListener("DOMContentLoaded", () => {
  const words = {
    popup: ["连接中断", "正在重新连接…"],
    too_long_message_popup: ["内容过长", "内容太大，无法发送。"],
  };
  for (const [id, lines] of Object.entries(words))
    lines.forEach((line, place) => {
      document.getElementById(id).children[place].textContent = line;
    });
});
"""
"""The framework has one language for all who visit a page."""

Build = Callable[[Visit], Awaitable[None]]


def add_page(desk: Desk, path: str, title: str, build: Build) -> None:
    """Serve a page at `path` below /console; `build` fills it."""

    @ui.page(path, response_timeout=15)
    async def page(request: Request) -> None:
        visit = Visit(desk, request)
        ui.page_title(f"{visit.say(title)} · Nod")
        with _frame(visit, path):
            await build(visit)


@dataclass(frozen=True)
class Standing:
    """What the top of each page tells."""

    switches: Switches
    lost_switches: list[str]
    live_model: str | None
    is_training: bool
    to_review: int
    to_look_twice: int
    want_person: int
    is_well: bool | None


async def read_standing(visit: Visit) -> Standing:
    """How Nod is doing, as the rows say now."""
    async with visit.database.read() as session:
        return Standing(
            switches=await read_switches(session),
            lost_switches=await read_lost_switches(session),
            live_model=await session.scalar(
                select(ModelVersion.model).where(ModelVersion.stage == Stage.live)
            ),
            is_training=bool(await session.scalar(select(Run.id).where(Run.is_active))),
            to_review=await session.scalar(
                select(func.count()).select_from(Reply).where(Reply.needs_review)
            )
            or 0,
            to_look_twice=await count_aside(session),
            want_person=await session.scalar(
                select(func.count())
                .select_from(Conversation)
                .where(Conversation.wants_person_at.is_not(None))
            )
            or 0,
            is_well=await visit.desk.health.read(),
        )


@contextmanager
def _frame(visit: Visit, path: str) -> Iterator[None]:
    ui.add_head_html(f'<link rel="stylesheet" href="/console/look/style.css?{_version()}">')
    ui.add_head_html('<link rel="icon" href="/console/look/mark.svg" type="image/svg+xml">')
    html_lang = "zh-CN" if visit.language is Language.zh else "en"
    ui.add_body_html(f"<script>document.documentElement.lang = '{html_lang}'</script>")
    if visit.language is Language.zh:
        ui.add_body_html(f"<script>{_CHINESE_POPUPS}</script>")
    colours = visit.request.cookies.get("nod_colours", "system")
    ui.dark_mode(BASE.get(colours))
    if (outer := ui.context.client.content.parent_slot) is not None:
        outer.parent.tag = "div"  # it would be a <main> around our own
    with box("frame"):
        tag("a", visit.say("Skip to the content"), "skip", href="#main")
        badges = _side(visit, path)
        with box("page"):
            top = box("top", "section", aria_label=visit.say("How Nod is doing"))
            with box("content", "main", id="main", tabindex="-1"):
                yield

    async def show(standing: Standing) -> None:
        _show_badges(badges, standing)
        top.clear()
        with top:
            _show_standing(visit, standing)

    # Beside what `show` clears, or the timer would go with it.
    look = visit.live(lambda: read_standing(visit), show, every_s=3.0)
    ui.timer(0, look, once=True)


def _side(visit: Visit, path: str) -> dict[str, TextElement]:
    badges = {}
    with box("side", "nav", aria_label=visit.say("Places")):
        with box("brand", "a", href="/console/"):
            tag("img", src="/console/look/mark.svg", alt="", width="28", height="28")
            tag("span", "Nod")
        with box("places"):
            for place, name, picture in PLACES:
                is_here = path == place or (place != "/" and path.startswith(place))
                here = "page" if is_here else None
                with box("place", "a", href=f"/console{place}", aria_current=here):
                    icon(picture)
                    tag("span", visit.say(name), "name")
                    badges[place] = tag("span", "", "badge")
        _user(visit)
    return badges


def _user(visit: Visit) -> None:
    with box("user"):
        with box("prefer"):
            _preference(visit, "language", "en", "EN", visit.language == "en")
            _preference(visit, "language", "zh", "中文", visit.language == "zh")
        colours = visit.request.cookies.get("nod_colours", "system")
        with box("prefer"):
            for value, picture, name in (
                ("system", "contrast", "As the system"),
                ("light", "light_mode", "Light"),
                ("dark", "dark_mode", "Dark"),
            ):
                _preference(visit, "colours", value, "", colours == value, picture, name)
        with box("who"):
            with box():
                tag("strong", visit.user.name)
                tag("span", visit.say(visit.user.role.value), "muted")
            with (
                box("", "form", method="post", action="/console/logout"),
                box("button quiet", "button", type="submit", title=visit.say("Log out")),
            ):
                icon("logout")
                tag("span", visit.say("Log out"), "unseen")


def _preference(
    visit: Visit,
    key: str,
    value: str,
    label: str,
    is_chosen: bool,
    picture: str | None = None,
    name: str | None = None,
) -> None:
    query = urlencode({"key": key, "value": value, "back": visit.request.url.path})
    title = visit.say(name) if name else label
    href = f"/console/prefer?{query}"
    with box("", "a", href=href, title=title, aria_label=title, aria_current=is_chosen or None):
        if picture:
            icon(picture)
        else:
            tag("span", label)


def _show_badges(badges: dict[str, TextElement], standing: Standing) -> None:
    for place, count in (
        ("/", standing.to_review),
        ("/second-look", standing.to_look_twice),
        ("/conversations", standing.want_person),
    ):
        badges[place].text = str(count) if count < 1000 else "999+"
        badges[place].classes(add="on" if count else "", remove="" if count else "on")
    badges["/runs"].text = "•" if standing.is_training else ""
    badges["/runs"].classes(
        add="on" if standing.is_training else "", remove="" if standing.is_training else "on"
    )


def _show_standing(visit: Visit, standing: Standing) -> None:
    say = visit.say
    kind = {None: "", True: "good", False: "bad"}[standing.is_well]
    words = {
        None: "Asking the model server",
        True: "Model server answers",
        False: "Model server is away",
    }
    with box("pill", title=say("Where answers come from")):
        tag("span", say("Mode"), "muted")
        link(say(standing.switches.mode.value), "/settings")
    with box("pill", title=say("What happens to an answer before the customer gets it")):
        tag("span", say("Policy"), "muted")
        link(say(standing.switches.policy.value), "/settings")
    with box("pill grow"):
        tag("span", say("Live model"), "muted wide")
        link(standing.live_model or say("base model only"), "/models", "cut")
    with box(f"pill dot {kind}", role="status"):
        tag("span", say(words[standing.is_well]), "wide")
    if standing.lost_switches:
        with box("pill bad", role="alert"):
            link(say("A switch is lost"), "/settings")


def show_refusal(visit: Visit, needed: UserRole) -> None:
    """For a page that this user may not see."""
    empty(
        "lock",
        visit.say("This needs the role {role}.", role=visit.say(needed.value)),
        visit.say("Ask an owner of this shop."),
    )


def _version() -> str:
    """Changes with the style, so that no browser keeps an old one."""
    return hashlib.sha256((LOOK / "style.css").read_bytes()).hexdigest()[:8]
