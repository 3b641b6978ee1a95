"""The canary's decision: does a candidate do as well with real customers as what is live?

Conversations are drawn by lot (bot.canary), so the two groups differ in the model alone. An answer
that a model may have written counts once it is judged:

    1     a thumb up, or approved by a reviewer
    0.5   edited by a reviewer
    0     a thumb down, or rejected; where both spoke, the lower one counts

The groups' means are compared with an interval (bootstrap over conversations). Whoever looks often
sees a difference by chance sooner or later, so there are few looks: at the first number of judged
conversations on each side, and at each doubling; the chance of error that the confidence leaves is
spent on them by halves (half at the first look, a quarter at the second, ...).
"""

import asyncio
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from finetune.announce import Recipients, announce
from finetune.interval import Interval, unpaired_interval
from finetune.progress import revise_end
from finetune.promote import canary_version, end_canary, promote
from store import (
    Database,
    ModelVersion,
    Reply,
    Review,
    RunState,
    Stage,
    Thumb,
    Verdict,
    Way,
    utc_now,
)
from store.switches import read_switches

log = structlog.get_logger(__name__)

_BY_VERDICT = {Verdict.approved: 1.0, Verdict.edited: 0.5, Verdict.rejected: 0.0}
_BY_A_MODEL = (Way.tuned, Way.retrieval, Way.base)
"""An approved reply is the same for both groups, and says nothing of either model."""
TAINTED = "something that it learnt was forgotten meanwhile: the next retrain makes one without it"


@dataclass(frozen=True, kw_only=True)
class CanaryOptions:
    """When a canary is decided."""

    first_look: int = 20
    """Judged conversations in each group at the first look."""
    confidence: float = 0.95
    tolerance: float = 0.05
    """So much less satisfaction (0 to 1) counts as no worse: the gate has shown that it is better
    on the hold-out."""
    most_days: int = 30
    """Undecided for so long, it ends, and a person decides."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """The judged answers of one side: (conversation, satisfaction)."""

    scores: list[tuple[str, float]]
    by_tuned: int
    """How many of its answers, judged or not, the offered model wrote itself."""

    @property
    def conversations(self) -> int:
        return len({conversation_id for conversation_id, _ in self.scores})


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a canary stands."""

    canary: Group
    live: Group

    @property
    def judged(self) -> int:
        """Conversations on the side that has fewer."""
        return min(self.canary.conversations, self.live.conversations)


class Canary:
    """Looks at the canary that there is; any number of processes may."""

    def __init__(self, database: Database, options: CanaryOptions, recipients: Recipients) -> None:
        self._database = database
        self._options = options
        self._recipients = recipients

    async def step(self) -> bool:
        """Take the next look, if it is due; whether anything was decided."""
        async with self._database.read() as session:
            version = await canary_version(session)
            share = (await read_switches(session)).canary_share
            if version is None or version.canary_from is None:
                return False
            standing = await read_standing(session, version)
        if version.tainted_at is not None:
            return await self._end(version, Stage.candidate, TAINTED, None)
        looks = int(version.canary.get("looks", 0))
        if self._is_over(version.canary_from):
            reason = f"not decided within {self._options.most_days} days: a person may promote it"
            return await self._end(version, Stage.candidate, reason, None)
        if not share or standing.judged < self._options.first_look * 2**looks:
            return False
        error = (1 - self._options.confidence) / 2 ** (looks + 1)
        gain = await asyncio.to_thread(
            unpaired_interval, standing.canary.scores, standing.live.scores, 1 - error
        )
        return gain is not None and await self._weigh(version, standing, gain, looks + 1)

    async def _weigh(
        self, version: ModelVersion, standing: Standing, gain: Interval, looks: int
    ) -> bool:
        said = _say(gain, standing)
        if gain.high < 0:
            return await self._end(version, Stage.retired, f"rolled back: {said}", gain)
        if gain.low > -self._options.tolerance:
            if standing.canary.by_tuned:
                return await self._end(version, Stage.live, f"proven: {said}", gain)
            said = f"it answered nothing itself so far, so it is not proven; {said}"
        async with self._database.write() as session:
            if row := await self._same(session, version):
                row.canary = _as_json(gain, f"goes on after look {looks}: {said}", looks)
        return False

    async def _end(
        self, version: ModelVersion, stage: Stage, reason: str, gain: Interval | None
    ) -> bool:
        async with self._database.write() as session:
            row = await self._same(session, version)
            if row is None:
                return False
            row.canary = _as_json(gain, reason, int(row.canary.get("looks", 0)) + bool(gain))
            await self._tell(session, row, stage, reason)
            if stage is Stage.live:
                await promote(session, row.id, "canary")
            else:
                await end_canary(session, row, stage, reason)
        log.info("canary_ended", version=version.id, stage=stage)
        return True

    async def _tell(
        self, session: AsyncSession, version: ModelVersion, stage: Stage, reason: str
    ) -> None:
        note = f"the canary of {version.model}: {reason}"
        if version.run_id is not None:
            state = RunState.promoted if stage is Stage.live else RunState.refused
            return await revise_end(session, self._recipients, version.run_id, state, note)
        return await announce(
            session,
            self._recipients,
            key=f"canary.{version.id}.{stage}",
            subject=f"The canary of {version.model} is {stage}",
            text=note,
            data={"type": f"canary.{stage}", "model": version.model, "reason": reason},
        )

    async def _same(self, session: AsyncSession, version: ModelVersion) -> ModelVersion | None:
        """The row, if it is still the canary that was looked at."""
        row = await session.get(ModelVersion, version.id, with_for_update=True)
        is_same = row and row.stage is Stage.canary and row.canary_from == version.canary_from
        return row if is_same else None

    def _is_over(self, began_at: datetime) -> bool:
        return utc_now() - began_at > timedelta(days=self._options.most_days)


async def read_standing(session: AsyncSession, version: ModelVersion) -> Standing:
    """Both groups since the canary began, or since the live model last changed."""
    since = await _since(session, version.canary_from or utc_now())
    rows = await session.execute(
        select(
            Reply.conversation_id,
            Reply.offered_version_id,
            Reply.model_version_id,
            Review.verdict,
            Thumb.is_up,
        )
        .outerjoin(Review, Review.reply_id == Reply.id)
        .outerjoin(Thumb, Thumb.reply_id == Reply.id)
        .where(
            Reply.created_at >= since,
            Reply.way.in_(_BY_A_MODEL),
            or_(
                Review.id.is_not(None),
                Thumb.reply_id.is_not(None),
                Reply.model_version_id == version.id,
            ),
        )
    )
    ours: list[tuple[Any, ...]] = []
    theirs: list[tuple[Any, ...]] = []
    for conversation_id, offered_id, *judged in rows:
        (ours if offered_id == version.id else theirs).append((conversation_id, *judged))
    return Standing(canary=_as_group(ours, version.id), live=_as_group(theirs, version.id))


async def _since(session: AsyncSession, began_at: datetime) -> datetime:
    """A roll back changes what is live too, and leaves the older `promoted_at` as it was."""
    changed = select(func.max(ModelVersion.promoted_at), func.max(ModelVersion.retired_at)).where(
        ModelVersion.promoted_at.is_not(None)  # others were never live
    )
    promoted_at, retired_at = (await session.execute(changed)).one()
    return max(began_at, promoted_at or began_at, retired_at or began_at)


def _as_group(rows: Iterable[tuple[Any, ...]], version_id: int) -> Group:
    scores, by_tuned = [], 0
    for conversation_id, wrote_id, verdict, is_up in rows:
        by_tuned += wrote_id == version_id
        said = [] if verdict is None else [_BY_VERDICT[verdict]]
        said += [] if is_up is None else [float(is_up)]
        if said:
            scores.append((conversation_id, min(said)))
    return Group(scores=scores, by_tuned=by_tuned)


def _say(gain: Interval, standing: Standing) -> str:
    return (
        f"satisfaction differs by {gain.mean:+.2f} ({gain.low:+.2f} to {gain.high:+.2f}; "
        f"{standing.canary.conversations} conversations with it, {standing.live.conversations} "
        f"without)"
    )


def _as_json(gain: Interval | None, reason: str, looks: int) -> dict[str, Any]:
    return {"looks": looks, "reason": reason, "gain": asdict(gain) if gain else None}
