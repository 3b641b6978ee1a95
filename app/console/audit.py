"""The log on the settings page: who changed what, and when."""

from sqlalchemy import select

from app.console.pieces import box, cells, table, tag
from app.console.visit import Visit
from store import AuditEntry, UserRole

AUDITED = 100


async def show_audit(visit: Visit) -> None:
    if not visit.may(UserRole.operator):
        return
    query = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(AUDITED)
    async with visit.database.read() as session:
        entries = list(await session.scalars(query))
    headers = (visit.say("When"), visit.say("Who"), visit.say("What"), visit.say("Details"))
    with box("section"):
        tag("h2", visit.say("Who changed what"))
        with table(headers, label=visit.say("Who changed what")):
            for entry in entries:
                detail = ", ".join(f"{key}: {value}" for key, value in entry.detail.items())
                at = f"{entry.at:%Y-%m-%d %H:%M}"
                cells(at, entry.who, visit.say(entry.action), detail[:300])
