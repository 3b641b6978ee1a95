"""The figures of a demo, for the table and for the JSON file."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Report:
    """What the table and the JSON file say."""

    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    review: dict[str, int] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def clock(self, name: str) -> Iterator[None]:
        started_at = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started_at, 1)
