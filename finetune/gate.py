"""The gate: is the candidate better than what is live?

Both answered the same questions, so their scores are compared question by question, and the mean
of the differences gets an interval. The candidate passes when

- the whole interval of chrF lies above zero;
- no other measure loses more than is allowed: meaning, exact facts, refusals where one is right,
  length, language;
- no protected slice (a tag, a channel, a language) got worse beyond doubt;
- a judge, where there is one, does not prefer what is live beyond doubt.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from finetune.interval import Interval, paired_interval

_WORDS = {
    "similarity": "similar in meaning to the approved replies",
    "facts": "exact in numbers and names",
    "refusal": "right about when to refuse",
    "length": "near in length to the approved replies",
    "language": "faithful to the customer's script",
}
_COUNTED = ("facts", "refusal", "language")
"""Right or wrong: where few conversations are compared, half of one is always allowed to be lost,
or a single word would outweigh all the rest."""


@dataclass(frozen=True, kw_only=True)
class GateOptions:
    """What the gate asks for."""

    min_items: int = 8
    """With fewer conversations in the hold-out a person decides."""
    confidence: float = 0.95
    losses: Mapping[str, float] = field(
        default_factory=lambda: {
            "similarity": 0.01,
            "facts": 0.02,
            "refusal": 0.02,
            "length": 0.1,
            "language": 0.01,
        }
    )
    """By measure, how much less of its mean counts as no worse."""
    protected: tuple[str, ...] = ("*",)
    """Slices that may not regress; `*` stands for every one."""
    slice_items: int = 5
    """Slices of fewer conversations say too little."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The scores of both ways of serving on one question."""

    conversation_id: str
    live: Mapping[str, float | None]
    candidate: Mapping[str, float | None]
    slices: frozenset[str] = frozenset()
    preference: float | None = None
    """A judge's: 1 for the candidate, -1 for what is live, 0 for a tie."""

    def gain(self, measure: str) -> float | None:
        before, after = self.live.get(measure), self.candidate.get(measure)
        return None if before is None or after is None else after - before


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one measure, slice or judge says."""

    name: str
    passes: bool
    reason: str
    gain: Interval | None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the gate says, and why, in words for the person who reads it."""

    promote: bool
    asks_person: bool
    reasons: list[str]
    conversations: int
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_shown_worse(self) -> bool:
        """Whether the whole interval of chrF lies below zero, or too little is known."""
        gains = [finding.gain for finding in self.findings if finding.name == "chrf"]
        return self.asks_person or any(gain is not None and gain.high < 0 for gain in gains)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def decide(compared: Sequence[Compared], options: GateOptions) -> Decision:
    """Weigh candidate against live; too few conversations ask a person."""
    conversations = len({item.conversation_id for item in compared if "chrf" in item.live})
    if conversations < options.min_items:
        return Decision(
            promote=False,
            asks_person=True,
            reasons=[
                f"only {conversations} conversation(s) could be compared, and the gate needs "
                f"{options.min_items}: ask a person, who may promote it by hand"
            ],
            conversations=conversations,
        )
    findings = [
        _weigh_chrf(compared, options),
        *_weigh_losses(compared, options),
        *_weigh_slices(compared, options),
        *_weigh_preference(compared, options),
    ]
    return Decision(
        promote=all(finding.passes for finding in findings),
        asks_person=False,
        # What speaks against it first; then why it was thought better.
        reasons=[each.reason for each in sorted(findings, key=lambda each: each.passes)],
        conversations=conversations,
        findings=findings,
    )


def measure(compared: Iterable[Compared], name: str, confidence: float) -> Interval | None:
    """The gain in one measure, over the questions where it applies."""
    gains = ((item.conversation_id, item.gain(name)) for item in compared)
    return paired_interval(((key, gain) for key, gain in gains if gain is not None), confidence)


def _weigh_chrf(compared: Sequence[Compared], options: GateOptions) -> Finding:
    gain = measure(compared, "chrf", options.confidence)
    assert gain is not None
    is_better = gain.low > 0
    reason = (
        f"{'better' if is_better else 'not shown to be better'}: chrF changes by {gain.mean:+.1f} "
        f"points ({options.confidence:.0%} interval {gain.low:+.1f} to {gain.high:+.1f}, "
        f"{gain.conversations} conversations); the whole interval must lie above zero"
    )
    return Finding(name="chrf", passes=is_better, reason=reason, gain=gain)


def _weigh_losses(compared: Sequence[Compared], options: GateOptions) -> Iterator[Finding]:
    for name, allowed in options.losses.items():
        gain = measure(compared, name, options.confidence)
        if gain is None:
            continue
        if name in _COUNTED:
            allowed = max(allowed, 0.5 / gain.conversations)
        holds = gain.mean >= -allowed - 1e-9
        reason = (
            f"{'as' if holds else 'less'} {_WORDS[name]}: {name} changes by {gain.mean:+.3f} "
            f"({gain.low:+.3f} to {gain.high:+.3f}); a loss of up to {allowed:.3f} is allowed"
        )
        yield Finding(name=name, passes=holds, reason=reason, gain=gain)


def _weigh_slices(compared: Sequence[Compared], options: GateOptions) -> Iterator[Finding]:
    every = sorted({name for item in compared for name in item.slices})
    for name in every:
        if "*" not in options.protected and name not in options.protected:
            continue
        inside = [item for item in compared if name in item.slices]
        gain = measure(inside, "chrf", options.confidence)
        if gain is None or gain.conversations < options.slice_items:
            continue
        holds = gain.high >= 0
        reason = (
            f"{'no worse' if holds else 'worse'} on {name}: chrF changes by {gain.mean:+.1f} "
            f"({gain.low:+.1f} to {gain.high:+.1f}, {gain.conversations} conversations)"
        )
        yield Finding(name=f"slice {name}", passes=holds, reason=reason, gain=gain)


def _weigh_preference(compared: Sequence[Compared], options: GateOptions) -> Iterator[Finding]:
    judged = [
        (item.conversation_id, item.preference) for item in compared if item.preference is not None
    ]
    gain = paired_interval(judged, options.confidence)
    if gain is None:
        return
    holds = gain.high >= 0
    reason = (
        f"the judge {'does not prefer' if holds else 'prefers'} what is live: its preference for "
        f"the candidate is {gain.mean:+.2f} ({gain.low:+.2f} to {gain.high:+.2f}; both orders of "
        f"{len(judged)} pairs, ties count 0)"
    )
    yield Finding(name="judge", passes=holds, reason=reason, gain=gain)
