"""Split: which conversations are held out, and what may not stand on both sides."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from finetune.examples import Approved
from store import Split


def side_of(conversation_id: str, holdout_share: float) -> Split:
    """The side of a conversation: by its id alone, so the same for ever and on every machine.

    Raising the share moves conversations from train to hold-out, never the other way.
    """
    place = int(conversation_id[:8], 16) / 2**32
    return Split.holdout if place < holdout_share else Split.train


def split(
    approved: Sequence[Approved], holdout_share: float
) -> tuple[dict[Split, list[Approved]], Counter[str]]:
    """Both sides without repeats, and what was left out, by reason.

    A train example that asks what a held-out one asks is left out, or the hold-out would be known.
    """
    dropped: Counter[str] = Counter()
    sides: dict[Split, list[Approved]] = {side: [] for side in Split}
    for example in approved:
        sides[side_of(example.conversation_id, holdout_share)].append(example)
    held_out = {normalize(example.question) for example in sides[Split.holdout]}
    for side in Split:
        seen: set[tuple[str, ...]] = set()
        kept = []
        for example in sides[side]:
            reason = _reason_against(example, seen, held_out if side is Split.train else set())
            dropped.update([reason] if reason else [])
            kept += [] if reason else [example]
        sides[side] = kept
    return sides, dropped


def normalize(text: str) -> str:
    """The words alone: one form of each character, no case, no punctuation, single spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"[\W_]+", " ", folded).split())


def _reason_against(
    example: Approved, seen: set[tuple[str, ...]], held_out: set[str]
) -> str | None:
    question = normalize(example.question)
    if not question:
        return "no words in the question"
    if question in held_out:
        return "asked in the hold-out too"
    history = (normalize(turn["content"]) for turn in example.history)
    key = (question, normalize(example.answer), *history)
    if key in seen:
        return "said before"
    seen.add(key)
    return None
