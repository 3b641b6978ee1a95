"""What processes that we start find in their environment."""

import os
from pathlib import Path

# OpenMP's threads spin for microseconds when they wait for each other, and then sleep. Left to
# spin, two of them can stall for minutes on two cores that others use too; sent to sleep at once,
# they take twice as long for an answer where nobody does (docs/decisions/0025). Read once, when
# the library is loaded.
WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
WAITING_IN_TRAINING = WAITING | {"GOMP_SPINCOUNT": "20000"}
"""The trainer has the lower priority: whoever needs a core takes it from a thread that spins."""


def child_environment(**defaults: str) -> dict[str, str]:
    """Ours, with defaults for what is not set, and with this package to be found."""
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return WAITING | defaults | os.environ | {"PYTHONPATH": path}
