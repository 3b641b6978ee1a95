"""The canary on the page of models: how it stands, and the way to stop it."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from app.console.pieces import box, button, chip, facts, percent, tag
from app.console.visit import Visit
from finetune.canary import read_standing
from finetune.promote import canary_version, end_canary
from store import ModelVersion, Stage, UserRole
from store.switches import read_switches


@dataclass(frozen=True)
class CanaryNow:
    """What the page shows of it."""

    version: ModelVersion
    share: float
    judged: int
    judged_without: int


async def read_canary(session: AsyncSession) -> CanaryNow | None:
    """The canary that there is."""
    version = await canary_version(session)
    if version is None:
        return None
    standing = await read_standing(session, version)
    return CanaryNow(
        version=version,
        share=(await read_switches(session)).canary_share,
        judged=standing.canary.conversations,
        judged_without=standing.live.conversations,
    )


def show_canary(visit: Visit, now: CanaryNow) -> None:
    say = visit.say

    async def stop() -> None:
        async with visit.database.write() as session:
            version = await canary_version(session)
            if version is not None and version.id == now.version.id:
                await end_canary(session, version, Stage.retired, f"stopped by {visit.user.name}")
        visit.tell(say("The canary has ended"))

    with box("card stack"):
        with box("row"):
            tag("h2", say("Canary"))
            chip(percent(now.share) if now.share else say("paused: the share is 0"), "canary")
            button(
                say("Stop the canary"),
                visit.doing(UserRole.operator, stop),
                picture="stop_circle",
                is_off=not visit.may(UserRole.operator),
            )
        facts(
            [
                (say("Model"), now.version.model),
                (say("Judged conversations with it"), now.judged),
                (say("Judged conversations without"), now.judged_without),
                (say("Last look"), visit.retell(now.version.canary.get("reason") or "")),
            ]
        )
        tag(
            "p",
            say("Thumbs and reviews decide: worse beyond doubt is rolled back, proven goes live."),
            "muted",
        )
