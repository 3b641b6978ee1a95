"""The log on the settings page: who changed what, and when."""

from sqlalchemy import select

from app.console.pieces import box, cells, empty, table, tag
from app.console.visit import Visit
from store import AuditEntry, UserRole

AUDITED = 100
DAILY = ("log_in", "review", "answer_as_person", "take_over", "give_back")
"""What people do all day long, and would hide the rest."""
VIEWS = {"changes": "Changes", "all": "Everything"}


async def show_audit(visit: Visit) -> None:
    if not visit.may(UserRole.operator):
        return
    chosen = "all" if visit.request.query_params.get("log") == "all" else "changes"
    with box("section", id="log"):
        tag("h2", visit.say("Who changed what"))
        with box("tabs", "nav", aria_label=visit.say("Filter")):
            for key, name in VIEWS.items():
                here = "page" if key == chosen else None
                href = f"/console/settings?log={key}#log"
                tag("a", visit.say(name), href=href, aria_current=here)
        rows = box()

    async def read() -> list[AuditEntry]:
        query = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(AUDITED)
        if chosen == "changes":
            query = query.where(AuditEntry.action.not_in(DAILY))
        async with visit.database.read() as session:
            return list(await session.scalars(query))

    async def read_newest() -> int:
        return max((entry.id for entry in await read()), default=0)

    async def show(_newest: int) -> None:
        rows.clear()
        entries = await read()
        with rows:
            _show_entries(visit, entries)

    await visit.live(read_newest, show, every_s=3.0)()


def _show_entries(visit: Visit, entries: list[AuditEntry]) -> None:
    say = visit.say
    if not entries:
        empty("history", say("Nothing was changed yet"))
        return
    headers = (say("When"), say("Who"), say("What"), say("Details"))
    with table(headers, label=say("Who changed what")):
        for entry in entries:
            detail = ", ".join(f"{key}: {value}" for key, value in entry.detail.items())
            cells(f"{entry.at:%Y-%m-%d %H:%M}", entry.who, say(entry.action), detail[:300])
