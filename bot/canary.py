"""The canary: which conversations try a candidate before everybody gets it."""

import hashlib
from collections.abc import Sequence

from store import ModelVersion, Stage


def choose_version(
    conversation_id: str, versions: Sequence[ModelVersion], share: float
) -> ModelVersion | None:
    """The tuned model for a conversation, of the live one and the canary."""
    by_stage = {version.stage: version for version in versions}
    canary = by_stage.get(Stage.canary)
    if canary is not None and is_in_canary(conversation_id, canary.id, share):
        return canary
    return by_stage.get(Stage.live)


def is_in_canary(conversation_id: str, version_id: int, share: float) -> bool:
    """Whether a conversation is in the share that tries a version.

    It stays so for as long as the share does, and a larger share only adds conversations. Drawn
    anew for each version, and independent of the hold-out, which is drawn from the id itself.
    """
    drawn = hashlib.sha256(f"canary\0{version_id}\0{conversation_id}".encode()).digest()
    return int.from_bytes(drawn[:4]) / 2**32 < share
