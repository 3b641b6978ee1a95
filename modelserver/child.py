"""What processes that we start find in their environment."""

import os
from pathlib import Path

# Threads that wait for each other sleep instead of spinning: on a machine that others use too,
# two spinning threads on two cores can stall for minutes.
_POLITE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}


def child_environment(**defaults: str) -> dict[str, str]:
    """Ours, with defaults for what is not set, and with this package to be found."""
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return _POLITE | defaults | os.environ | {"PYTHONPATH": path}
