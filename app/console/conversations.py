"""Conversations: who asked what, what they got, and a person's way to step in."""

from typing import Any

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement
from sqlalchemy import Select, func, or_, select

from app.console.drafts import drop_draft, keep_draft
from app.console.layout import add_page
from app.console.lineage import lineage_link
from app.console.pieces import box, button, chip, empty, field, heading, link, tag, when
from app.console.reviewed import Reviewed
from app.console.tags import show_tags
from app.console.talk import Talk, read_talk
from app.console.visit import Desk, Visit
from bot.review import answer_as_person, give_back, take_over
from store import Conversation, Reply, ReplyStatus, Role, Turn, UserRole, Verdict

PAGE = 50
_TO_END = """
const end = document.body.scrollHeight;
if (end - window.innerHeight - window.scrollY < NEAR) window.scrollTo(0, end);
"""
"""A page opens at its end and stays there, but moves nobody who reads further up."""
FILTERS = {
    "all": "All",
    "wants": "Wants a person",
    "taken": "With a person",
    "held": "Waits for approval",
}


def add(desk: Desk) -> None:
    add_page(desk, "/conversations", "Conversations", _show_list)
    add_page(desk, "/conversations/{conversation_id}", "Conversation", _show_one)


async def _show_list(visit: Visit) -> None:
    query = visit.request.query_params
    chosen = query.get("show", "all") if query.get("show") in FILTERS else "all"
    sought = {"text": query.get("q", "")[:100]}
    heading(visit.say("Conversations"))
    with box("filters"):
        with box("tabs", "nav", aria_label=visit.say("Filter")):
            for key, name in FILTERS.items():
                here = "page" if key == chosen else None
                tag(
                    "a", visit.say(name), href=f"/console/conversations?show={key}",
                    aria_current=here,
                )  # fmt: skip
        search = ui.input(value=sought["text"], placeholder=visit.say("Words or a name"))
        search.props("outlined dense clearable debounce=300")
        search.props["aria-label"] = visit.say("Search")
    rows = box("section")

    async def read() -> list[Any]:
        async with visit.database.read() as session:
            return list((await session.execute(_listed(chosen, sought["text"]))).all())

    async def show(found: list[Any]) -> None:
        rows.clear()
        with rows:
            _show_rows(visit, found)

    look = visit.live(read, show)
    seek = visit.doing(UserRole.reviewer, look)

    async def seek_words() -> None:
        sought["text"] = (search.value or "").strip()[:100]
        await seek()

    search.on_value_change(seek_words)
    await look()


def _listed(chosen: str, sought: str) -> Select[Any]:
    newest = (
        select(Turn.text)
        .where(Turn.conversation_id == Conversation.id)
        .order_by(Turn.seq.desc())
        .limit(1)
        .scalar_subquery()
    )
    columns = (
        Conversation.id,
        Conversation.channel,
        Conversation.customer_name,
        Conversation.updated_at,
        Conversation.wants_person_at,
        Conversation.taken_over_by,
        Conversation.last_seq,
        func.substr(newest, 1, 140).label("newest"),
    )
    query = select(*columns).order_by(Conversation.updated_at.desc()).limit(PAGE)
    held = select(Reply.conversation_id).where(Reply.status == ReplyStatus.held)
    match chosen:
        case "wants":
            query = query.where(Conversation.wants_person_at.is_not(None))
        case "taken":
            query = query.where(Conversation.taken_over_at.is_not(None))
        case "held":
            query = query.where(Conversation.id.in_(held))
    if sought:
        said = select(Turn.conversation_id).where(Turn.text.icontains(sought, autoescape=True))
        name = Conversation.customer_name.icontains(sought, autoescape=True)
        query = query.where(or_(name, Conversation.id.in_(said)))
    return query


def _show_rows(visit: Visit, found: list[Any]) -> None:
    if not found:
        empty("forum", visit.say("No conversation here"))
        return
    with box("list", "ul"):
        for row in found:
            with (
                box("", "li"),
                box("entry", "a", href=f"/console/conversations/{row.id}"),
            ):
                with box("row"):
                    tag("strong", visit.name_of(row.customer_name, row.id))
                    chip(visit.say(row.channel), "plain")
                    if row.taken_over_by:
                        chip(visit.say("With {name}", name=row.taken_over_by), "info")
                    if row.wants_person_at:
                        chip(visit.say("Wants a person"), "warn")
                    when(visit, row.updated_at).classes("last")
                tag("span", row.newest or "", "muted cut")
    if len(found) == PAGE:
        tag("p", visit.say("The newest {n} are shown; search for others.", n=PAGE), "muted")


async def _show_one(visit: Visit) -> None:
    conversation_id = visit.request.path_params["conversation_id"]
    link(visit.say("All conversations"), "/conversations", "muted back")
    if await read_talk(visit, conversation_id) is None:
        empty("search_off", visit.say("There is no such conversation"))
        return
    head, turns = box(), box("talk", role="log", aria_label=visit.say("Conversation"))
    asking = box()
    is_open: list[bool] = []
    hand_over = box("last")  # put beside the button that sends: the page opens at its end

    async def show(talk: Talk | None) -> None:
        head.clear()
        turns.clear()
        hand_over.clear()
        if talk is None:  # forgotten while it was open
            with head:
                empty("search_off", visit.say("There is no such conversation"))
            return
        with head:
            _show_head(visit, talk)
        with turns:
            _show_turns(visit, talk, asking, refresh)
        with hand_over:
            _hand_over_button(visit, talk, refresh)
        visit.run_script(_TO_END.replace("NEAR", "400" if is_open else "Infinity"))
        is_open.append(True)

    look = visit.live(lambda: read_talk(visit, conversation_id), show)

    async def refresh() -> None:
        await look()

    await look()
    hand_over.move(_writing(visit, conversation_id, refresh))


def _show_head(visit: Visit, talk: Talk) -> None:
    conversation = talk.conversation
    with heading(visit.name_of(conversation.customer_name, conversation.id)):
        chip(visit.say(conversation.channel), "plain")
        if conversation.wants_person_at:
            chip(visit.say("Wants a person"), "warn")
        if conversation.taken_over_by:
            chip(visit.say("With {name}", name=conversation.taken_over_by), "info")


def _hand_over_button(visit: Visit, talk: Talk, refresh: Any) -> None:
    """To a person, or from one back to the bot."""
    conversation = talk.conversation
    if conversation.taken_over_by:
        act, label, picture = give_back, visit.say("Give back to the bot"), "smart_toy"
    else:
        act, label, picture = take_over, visit.say("Take over"), "support_agent"

    async def change() -> None:
        await act(visit.database, conversation.id, who=visit.user.name)
        await refresh()

    button(label, visit.doing(UserRole.reviewer, change), picture=picture)


def _show_turns(visit: Visit, talk: Talk, asking: TextElement, refresh: Any) -> None:
    fresh_from = talk.conversation.context_from_seq
    reviewed = Reviewed(visit, place=asking, refresh=refresh)
    for turn, reply in talk.turns:
        if turn.seq == fresh_from and fresh_from > 1:
            with box("rule"):
                tag("span", visit.say("Started afresh: the bot remembers nothing above"))
        with box(f"turn {turn.role.value}", "article"):
            tag("div", turn.text, "bubble")
            with box("meta"):
                when(visit, turn.created_at)
                if reply is not None and turn.role is not Role.customer:
                    _show_way(visit, reply)
                    _show_review(visit, talk, reply, reviewed)
                elif turn.state.value in ("waiting", "answering", "failed"):
                    chip(visit.say(turn.state.value), "warn")
        for stopped in talk.stopped.get(turn.id, ()):
            with box("turn bot stopped", "article"):
                tag("div", stopped.text, "bubble")
                with box("meta"):
                    _show_way(visit, stopped)
                    _show_review(visit, talk, stopped, reviewed)
    for reply in talk.held:
        with box("turn bot waits", "article"):
            tag("div", reply.text, "bubble")
            with box("meta"):
                chip(visit.say("Waits for approval"), "warn")
                link(visit.say("Review"), "/")


def _show_review(visit: Visit, talk: Talk, reply: Reply, reviewed: Reviewed) -> None:
    """Its verdict, its tags, and how to change both."""
    if (review := talk.reviews.get(reply.id)) is None:
        return
    reviewed.show(reply, review, question=talk.question_of(reply))
    if review.verdict is not Verdict.rejected:
        show_tags(
            visit, reply.id, list(review.tags), place=reviewed.place, refresh=reviewed.refresh
        )


def _show_way(visit: Visit, reply: Reply) -> None:
    chip(visit.say(reply.way.value), f"way {reply.way.value}", title=reply.reason)
    if reply.status is not ReplyStatus.sent:
        chip(visit.say(reply.status.value), reply.status.value, title=reply.error)
    if reply.total_ms:
        tag("span", f"{reply.total_ms / 1000:.1f} s")
    lineage_link(visit, "reply", reply.id, "muted")


def _writing(visit: Visit, conversation_id: str, refresh: Any) -> TextElement:
    """The box for a person's answer; returns the row of its buttons."""
    with box("write"):
        text = field(
            visit.say("Answer as a person"),
            ui.textarea(placeholder=visit.say("The customer gets it at once")).props("autogrow"),
            hint=visit.say("Take the conversation over first if the bot is to keep quiet."),
        )

        keep_draft(visit, text, conversation_id)

        async def send() -> None:
            if said := (text.value or "").strip():
                await answer_as_person(visit.database, conversation_id, said, who=visit.user.name)
                text.value = ""  # not before: what is refused can be sent again
                drop_draft(visit, conversation_id)
                await refresh()

        act = visit.doing(UserRole.reviewer, send)
        with box("actions") as actions:
            button(visit.say("Send"), act, kind="main", picture="send", key="Ctrl ↵")
        text.on("keydown.ctrl.enter.prevent", act, [])
        text.on("keydown.meta.enter.prevent", act, [])
    return actions
