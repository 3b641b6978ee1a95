import random

from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.gate import Compared, GateOptions, decide

OPTIONS = GateOptions(min_items=8)


def compare(
    gains: list[float], similarity_gain: float = 0.0, per_conversation: int = 1
) -> list[Compared]:
    return [
        Compared(
            conversation_id=f"c{i // per_conversation}",
            live_chrf=40.0,
            candidate_chrf=40.0 + gain,
            live_similarity=0.8,
            candidate_similarity=0.8 + similarity_gain,
        )
        for i, gain in enumerate(gains)
    ]


def test_a_clear_gain_is_promoted() -> None:
    decision = decide(compare([8, 12, 9, 15, 11, 7, 10, 13, 9, 12]), OPTIONS)
    assert decision.promote
    assert decision.chrf is not None
    assert 0 < decision.chrf.low < decision.chrf.mean < decision.chrf.high


def test_the_same_answers_are_never_promoted() -> None:
    assert not decide(compare([0.0] * 50), OPTIONS).promote


def test_a_gain_within_the_noise_is_not_promoted() -> None:
    decision = decide(compare([30, -28, 25, -30, 31, -20, 12, -15, 9, -8]), OPTIONS)
    assert not decision.promote
    assert "not shown to be better" in decision.reasons[0]


def test_a_gain_in_words_that_loses_the_meaning_is_not_promoted() -> None:
    gains = [8.0, 12, 9, 15, 11, 7, 10, 13, 9, 12]
    decision = decide(compare(gains, similarity_gain=-0.05), OPTIONS)
    assert not decision.promote
    assert "less similar" in decision.reasons[1]


def test_too_few_conversations_ask_a_person() -> None:
    decision = decide(compare([20.0] * 21, per_conversation=3), OPTIONS)
    assert decision.conversations == 7
    assert decision.asks_person
    assert not decision.promote


def test_many_questions_of_one_conversation_are_no_more_evidence_than_one() -> None:
    gains = [9.0, -3, 12, -2, 10, -1, 8, 2, 7, -4]
    repeated = [gain for gain in gains for _ in range(20)]
    once = decide(compare(gains), OPTIONS).chrf
    twenty_times = decide(compare(repeated, per_conversation=20), OPTIONS).chrf
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
