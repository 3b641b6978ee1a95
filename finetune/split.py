"""Split: which conversations are held out, and what may not stand on both sides."""

from collections import Counter
from collections.abc import Collection, Sequence

from finetune.examples import Approved
from finetune.near import find_near, normalize
from store import Split


def side_of(conversation_id: str, holdout_share: float) -> Split:
    """The side of a conversation: by its id alone, so the same for ever and on every machine.

    Raising the share moves conversations from train to hold-out, never the other way.
    """
    place = int(conversation_id[:8], 16) / 2**32
    return Split.holdout if place < holdout_share else Split.train


def split(
    approved: Sequence[Approved], holdout_share: float, near_duplicate: float = 1.0
) -> tuple[dict[Split, list[Approved]], Counter[str]]:
    """Both sides without repeats, and what was left out, by reason.

    A train example that asks what a held-out one asks, or nearly so, is left out, or the hold-out
    would be known.

    Args:
        near_duplicate: the similarity from which on two questions are near; see finetune.near.
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
    train = sides[Split.train]
    near = _near(train, held_out, near_duplicate)
    sides[Split.train] = [example for place, example in enumerate(train) if place not in near]
    dropped.update({"nearly asked in the hold-out": len(near)} if near else {})
    return sides, dropped


def _near(train: Sequence[Approved], held_out: Collection[str], least: float) -> set[int]:
    """The places of train examples that are near a held-out question."""
    if least >= 1:
        return set()
    asked = [example.question for example in train]
    return {place for place, _ in find_near(asked, sorted(held_out), least)}


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
