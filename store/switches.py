"""What an operator switches while the program runs: mode, policy, schedule.

Every process reads them from the store when it needs them, so that a switch takes effect on the
next message everywhere; each change is logged with who and when.
"""

import re
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store.people import AuditEntry, Setting

_M = TypeVar("_M", bound=StrEnum)
_HOURS = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-3]):[0-5]\d")


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
    retrain_runs_a_day: int = 4
    """So many runs begin in one UTC day at most, whoever asks; 0: no limit."""
    retrain_quiet_hours: str = ""
    """Hours in UTC, such as 08:00-20:00, in which no run begins by itself; empty: none."""
    canary_share: float = 0.0
    """This share of the conversations tries a candidate before it goes live; 0: none does."""


class SwitchError(ValueError):
    """The switch does not exist, or has no such position."""


async def read_switches(session: AsyncSession) -> Switches:
    """The switches as they stand; one never set has its default."""
    rows = (await session.scalars(select(Setting))).all()
    known = {field.name for field in fields(Switches)}
    return _parse({row.key: row.value for row in rows if row.key in known})


async def set_switch(session: AsyncSession, key: str, value: Any, *, who: str) -> Switches:
    """Set one switch and log it.

    Raises:
        SwitchError: the key or the value is not one we know.
    """
    before = await read_switches(session)
    after = _parse({**asdict(before), key: value})
    setting = await session.get(Setting, key) or Setting(key=key)
    setting.value, setting.updated_by = getattr(after, key), who
    session.add(setting)
    detail = {"key": key, "from": getattr(before, key), "to": getattr(after, key)}
    session.add(AuditEntry(who=who, action="set_switch", detail=detail))
    await session.flush()
    return after


def _parse(values: dict[str, Any]) -> Switches:
    parsed: dict[str, Any] = {}
    for key, value in values.items():
        match key:
            case "mode":
                parsed[key] = _member(Mode, key, value)
            case "policy":
                parsed[key] = _member(Policy, key, value)
            case "retrain_cron":
                parsed[key] = _cron(str(value))
            case "retrain_min_examples" | "retrain_runs_a_day":
                parsed[key] = _count(key, value)
            case "retrain_quiet_hours":
                parsed[key] = _hours(key, str(value).strip())
            case "canary_share":
                parsed[key] = _share(key, value)
            case _:
                known = ", ".join(field.name for field in fields(Switches))
                raise SwitchError(f"there is no switch {key!r}; there are {known}")
    return Switches(**parsed)


def _member(kind: type[_M], key: str, value: Any) -> _M:
    try:
        return kind(value)
    except ValueError:
        raise SwitchError(f"{key}={value!r} is not one of {', '.join(kind)}") from None


def _count(key: str, value: Any) -> int:
    try:
        count = int(value)
    except (TypeError, ValueError):
        count = -1
    if count < 0:
        raise SwitchError(f"{key}={value!r} is not a whole number of 0 or more")
    return count


def _share(key: str, value: Any) -> float:
    try:
        share = float(value)
    except (TypeError, ValueError):
        share = -1.0
    if not 0 <= share <= 0.5:
        raise SwitchError(f"{key}={value!r} is not a share from 0 (off) to 0.5 (half)")
    return share


def _hours(key: str, value: str) -> str:
    if value and not _HOURS.fullmatch(value):
        raise SwitchError(f"{key}={value!r} is not two times of day, such as 08:00-20:00, or empty")
    return value


def _cron(value: str) -> str:
    if value and len(value.split()) != 5:
        raise SwitchError(
            f"retrain_cron={value!r} does not have cron's five fields, such as '0 3 * * *'"
        )
    return value
