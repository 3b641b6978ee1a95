"""A finding: one thing that the doctor looked at, and how to mend it where it is ill."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What a check found."""

    well = "well"
    odd = "odd"  # works, but somebody should know
    ill = "ill"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was checked."""

    what: str
    state: State
    said: str
    mend: str = ""


def well(what: str, said: str) -> Finding:
    return Finding(what=what, state=State.well, said=said)


def odd(what: str, said: str, mend: str) -> Finding:
    return Finding(what=what, state=State.odd, said=said, mend=mend)


def ill(what: str, said: str, mend: str) -> Finding:
    return Finding(what=what, state=State.ill, said=said, mend=mend)
