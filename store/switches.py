"""What an operator switches while the program runs: mode, policy, schedule.

Every process reads them from the store when it needs them, so that a switch takes effect on the
next message everywhere; each change is logged with who and when. What an older or newer version,
or a hand, left there may mean nothing to this one: what is safe holds then, and it is told.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, TypeVar

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store.database import Executor
from store.people import AuditEntry, Setting

log = structlog.get_logger(__name__)

_M = TypeVar("_M", bound=StrEnum)
_HOURS = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-3]):[0-5]\d")
_told: set[str] = set()
"""Lost switches that this process has already warned of."""


class Mode(StrEnum):
    """Where answers come from."""

    base = "base"  # the base model alone
    retrieval = "retrieval"  # the base model with context
    tuned = "tuned"  # the tuned model alone
    hybrid = "hybrid"  # the tuned model with context
    auto = "auto"  # approved reply, tuned when sure, retrieval, or "I don't know"

    @property
    def uses_context(self) -> bool:
        return self in (Mode.retrieval, Mode.hybrid, Mode.auto)

    @property
    def uses_tuned(self) -> bool:
        return self in (Mode.tuned, Mode.hybrid, Mode.auto)


class Policy(StrEnum):
    """What happens to an answer before the customer gets it."""

    send = "send"  # sent at once, and queued for review
    hold = "hold"  # held until a person approves it
    hold_unsure = "hold_unsure"  # held only when the answer is unsure


@dataclass(frozen=True, kw_only=True)
class Switches:
    """The present position of every switch."""

    mode: Mode = Mode.auto
    policy: Policy = Policy.send
    retrain_cron: str = "0 3 * * *"
    """When to retrain, in cron's five fields (UTC); empty: never by the clock."""
    retrain_min_examples: int = 20
    """Retrain once so many new examples have been approved; 0: never by the count."""
    retrain_clock_min_examples: int = 5
    """By the clock only with so many new examples; 0: with any that make a new dataset."""
    retrain_jobs_a_day: int = 4
    """So many jobs are created in one UTC day at most, whoever asks; 0: no limit."""
    retrain_quiet_hours: str = ""
    """Hours in UTC, such as 08:00-20:00, in which no run begins by itself; empty: none."""
    canary_share: float = 0.0
    """This share of the conversations tries a candidate before it goes live; 0: none does."""


WHEN_LOST = Switches(policy=Policy.hold)
"""What holds where the stored position means nothing: perhaps answers may not go out unseen."""


class SwitchError(ValueError):
    """The switch does not exist, or has no such position."""


async def read_switches(session: AsyncSession) -> Switches:
    """The switches as they stand; one never set has its default."""
    return await session.run_sync(switches_of)


def switches_of(executor: Executor) -> Switches:
    """The same, as a part of a transaction."""
    switches, lost = _read(executor)
    for problem in lost:
        if problem not in _told:  # once, not with every message
            _told.add(problem)
            log.warning("switch_means_nothing", problem=problem)
    return switches


async def read_lost_switches(session: AsyncSession) -> list[str]:
    """A sentence for each stored switch that means nothing to this version, and what holds."""
    return (await session.run_sync(_read))[1]


async def set_switch(session: AsyncSession, key: str, value: Any, *, who: str) -> Switches:
    """Set one switch and log it.

    Raises:
        SwitchError: the key or the value is not one we know.
    """
    before = await read_switches(session)
    after = replace(before, **{key: _parse(key, value)})
    setting = await session.get(Setting, key) or Setting(key=key, value=getattr(before, key))
    detail = {"key": key, "from": setting.value, "to": getattr(after, key)}
    setting.value, setting.updated_by = getattr(after, key), who
    session.add(setting)
    session.add(AuditEntry(who=who, action="set_switch", detail=detail))
    await session.flush()
    return after


def _read(executor: Executor) -> tuple[Switches, list[str]]:
    """What holds, and what is wrong with what does not."""
    parsed: dict[str, Any] = {}
    lost: list[str] = []
    for row in executor.execute(_SETTINGS):
        try:
            parsed[row.key] = _parse(row.key, row.value)
        except SwitchError as error:
            safe = parsed[row.key] = getattr(WHEN_LOST, row.key)
            lost.append(f"{error}; until it is set again, {row.key} is {str(safe)!r}")
    return Switches(**parsed), lost


def _parse(key: str, value: Any) -> Any:
    if key not in _PARSERS:
        raise SwitchError(f"there is no switch {key!r}; there are {', '.join(_PARSERS)}")
    return _PARSERS[key](key, value)


def _member(kind: type[_M]) -> Callable[[str, Any], _M]:
    def parse(key: str, value: Any) -> _M:
        try:
            return kind(value)
        except ValueError:
            raise SwitchError(f"{key}={value!r} is not one of {', '.join(kind)}") from None

    return parse


def _count(key: str, value: Any) -> int:
    try:
        count = int(value)
    except (TypeError, ValueError, OverflowError):
        count = -1
    if count < 0:
        raise SwitchError(f"{key}={value!r} is not a whole number of 0 or more")
    return count


def _share(key: str, value: Any) -> float:
    try:
        share = float(value)
    except (TypeError, ValueError, OverflowError):
        share = -1.0
    if not 0 <= share <= 0.5:
        raise SwitchError(f"{key}={value!r} is not a share from 0 (off) to 0.5 (half)")
    return share


def _hours(key: str, value: Any) -> str:
    hours = str(value).strip()
    if hours and not _HOURS.fullmatch(hours):
        raise SwitchError(f"{key}={value!r} is not two times of day, such as 08:00-20:00, or empty")
    return hours


def _cron(key: str, value: Any) -> str:
    if not isinstance(value, str) or (value and len(value.split()) != 5):
        raise SwitchError(f"{key}={value!r} does not have cron's five fields, such as '0 3 * * *'")
    return value


_PARSERS: dict[str, Callable[[str, Any], Any]] = {
    "mode": _member(Mode),
    "policy": _member(Policy),
    "retrain_cron": _cron,
    "retrain_min_examples": _count,
    "retrain_clock_min_examples": _count,
    "retrain_jobs_a_day": _count,
    "retrain_quiet_hours": _hours,
    "canary_share": _share,
}
_SETTINGS = select(Setting.key, Setting.value).where(Setting.key.in_(_PARSERS))
assert list(_PARSERS) == [field.name for field in fields(Switches)]
