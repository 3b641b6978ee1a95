import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.gate import Compared, Decision, GateOptions, decide

OPTIONS = GateOptions(min_items=8)
CLEAR = [8.0, 12, 9, 15, 11, 7, 10, 13, 9, 12]


def compare(
    gains: list[float],
    *,
    per_conversation: int = 1,
    slices: dict[int, str] | None = None,
    preferences: list[float] | None = None,
    **other_gains: float,
) -> list[Compared]:
    """By question the gain in chrF; other measures gain the same everywhere."""
    before = {"similarity": 0.8, "facts": 0.9, "refusal": 1.0, "length": 0.8, "language": 1.0}
    after = {name: value + other_gains.get(name, 0.0) for name, value in before.items()}
    return [
        Compared(
            conversation_id=f"c{i // per_conversation}",
            live={**before, "chrf": 40.0},
            candidate={**after, "chrf": 40.0 + gain},
            slices=frozenset([slices[i]] if slices and i in slices else []),
            preference=preferences[i] if preferences else None,
        )
        for i, gain in enumerate(gains)
    ]


def finding(decision: Decision, name: str) -> bool:
    [found] = [each for each in decision.findings if each.name == name]
    assert found.reason in decision.reasons
    return found.passes


def test_a_clear_gain_is_promoted() -> None:
    decision = decide(compare(CLEAR), OPTIONS)
    assert decision.promote
    gain = decision.findings[0].gain
    assert gain is not None
    assert 0 < gain.low < gain.mean < gain.high


def test_the_same_answers_are_never_promoted() -> None:
    assert not decide(compare([0.0] * 50), OPTIONS).promote


def test_a_gain_within_the_noise_is_not_promoted() -> None:
    decision = decide(compare([30, -28, 25, -30, 31, -20, 12, -15, 9, -8]), OPTIONS)
    assert not decision.promote
    assert "not shown to be better" in decision.reasons[0]


@pytest.mark.parametrize("name", ["similarity", "facts", "refusal", "length", "language"])
def test_a_gain_in_words_that_loses_anything_else_is_not_promoted(name: str) -> None:
    decision = decide(compare(CLEAR, **{name: -0.2}), OPTIONS)
    assert not decision.promote
    assert not finding(decision, name)
    assert decision.reasons[0].startswith("less "), "what speaks against it comes first"


def test_how_much_counts_as_no_worse_is_a_setting() -> None:
    strict = GateOptions(min_items=8, losses={"facts": 0.0})
    lenient = GateOptions(min_items=8, losses={"facts": 0.2})
    assert not decide(compare(CLEAR, facts=-0.1), strict).promote
    assert decide(compare(CLEAR, facts=-0.1), lenient).promote


def test_half_a_conversation_may_be_lost_of_a_few_and_a_whole_one_may_not() -> None:
    def lose(facts: float) -> Decision:
        first, *others = compare(CLEAR)
        worse = {**first.candidate, "facts": 0.9 - facts}
        changed = Compared(conversation_id=first.conversation_id, live=first.live, candidate=worse)
        return decide([changed, *others], OPTIONS)

    assert lose(0.5).promote
    assert not lose(0.9).promote


def test_a_protected_slice_that_gets_worse_stops_a_candidate_that_is_better_on_the_whole() -> None:
    gains = [*([30.0, 25, 28, 31] * 10), -9, -12, -8, -11, -10, -7]
    slices = dict.fromkeys(range(40, 46), "tag:refund") | {0: "tag:rare", 1: "tag:rare"}
    compared = compare(gains, slices=slices)
    decision = decide(compared, OPTIONS)
    assert not decision.promote
    assert not finding(decision, "slice tag:refund")
    assert "worse on tag:refund" in decision.reasons[0]
    assert "tag:rare" not in str(decision.reasons), "two conversations say too little"
    others = GateOptions(min_items=8, protected=("tag:vip",))
    assert decide(compared, others).promote, "a slice that is not protected is not weighed"


def test_a_judge_that_prefers_what_is_live_stops_the_candidate() -> None:
    against = decide(compare(CLEAR, preferences=[-1.0] * 9 + [0.0]), OPTIONS)
    assert not against.promote
    assert not finding(against, "judge")
    undecided = decide(compare(CLEAR, preferences=[0.0, 1.0, -1.0, 0, 0, 1, 0, -1, 0, 0]), OPTIONS)
    assert undecided.promote
    assert finding(undecided, "judge")


def test_questions_without_a_fact_say_nothing_of_facts() -> None:
    compared = [
        Compared(
            conversation_id=each.conversation_id,
            live={**each.live, "facts": None},
            candidate={**each.candidate, "facts": None},
        )
        for each in compare(CLEAR)
    ]
    decision = decide(compared, OPTIONS)
    assert decision.promote
    assert "facts" not in [each.name for each in decision.findings]


def test_off_topic_questions_count_for_refusals_alone() -> None:
    off_topic = [
        Compared(conversation_id=f"o{n}", live={"refusal": 1.0}, candidate={"refusal": 0.0})
        for n in range(10)
    ]
    decision = decide([*compare(CLEAR), *off_topic], OPTIONS)
    assert decision.conversations == 10
    assert not finding(decision, "refusal")
    assert finding(decision, "chrf")


def test_too_few_conversations_ask_a_person() -> None:
    decision = decide(compare([20.0] * 21, per_conversation=3), OPTIONS)
    assert decision.conversations == 7
    assert decision.asks_person
    assert not decision.promote


def test_many_questions_of_one_conversation_are_no_more_evidence_than_one() -> None:
    gains = [9.0, -3, 12, -2, 10, -1, 8, 2, 7, -4]
    repeated = [gain for gain in gains for _ in range(20)]
    once = decide(compare(gains), OPTIONS).findings[0].gain
    twenty_times = decide(compare(repeated, per_conversation=20), OPTIONS).findings[0].gain
    assert once is not None
    assert twenty_times is not None
    assert abs(once.low - twenty_times.low) < 1.5


def test_one_set_of_answers_has_one_verdict() -> None:
    compared = compare([3.0, 8, -1, 4, 9, 2, 5, -3, 6, 7])
    shuffled = random.Random(1).sample(compared, len(compared))
    assert decide(compared, OPTIONS) == decide(shuffled, OPTIONS)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-60, 0), min_size=8, max_size=40))
def test_a_candidate_that_is_nowhere_better_is_never_promoted(gains: list[float]) -> None:
    assert not decide(compare(gains), OPTIONS).promote
