"""Rows as a reader gives them: records with the place of each, some thousands at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

BATCH = 2000
Record = dict[str, Any]


@dataclass(kw_only=True)
class Rows:
    """Records of one file, in their order; `numbers` are those that a person finds them by."""

    numbers: Sequence[int]
    records: list[Record]
