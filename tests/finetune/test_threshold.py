import random
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.threshold import NEVER_SURE, OFF_TOPIC_COST, Sign, Threshold, fit_threshold


def is_sure(sign: Sign, threshold: Threshold) -> bool:
    logprob = threshold.logprob is None or (sign.mean_logprob or 0.0) >= threshold.logprob
    agreement = threshold.agreement is None or (sign.agreement or 0.0) >= threshold.agreement
    return logprob and agreement


def test_right_answers_are_told_from_wrong_ones_by_either_sign() -> None:
    right = [Sign(mean_logprob=-0.1 - i / 100, agreement=0.9, gain=20) for i in range(8)]
    unsure = [Sign(mean_logprob=-1.0 - i / 100, agreement=0.9, gain=-25) for i in range(8)]
    invented = [Sign(mean_logprob=-0.1, agreement=0.2, gain=-OFF_TOPIC_COST) for _ in range(8)]
    threshold = fit_threshold(right + unsure + invented)
    assert all(is_sure(sign, threshold) for sign in right)
    assert not any(is_sure(sign, threshold) for sign in unsure + invented)
    assert threshold.gain == 160


def test_a_version_that_never_wins_is_never_sure() -> None:
    threshold = fit_threshold([Sign(mean_logprob=-0.01, agreement=1.0, gain=-5)] * 5)
    assert threshold.logprob == NEVER_SURE
    assert "never sure" in threshold.reason


def test_nothing_to_fit_on_means_never_sure() -> None:
    assert fit_threshold([]).logprob == NEVER_SURE


def test_without_log_probabilities_agreement_decides_alone() -> None:
    good = [Sign(mean_logprob=None, agreement=0.8, gain=10)] * 4
    bad = [Sign(mean_logprob=None, agreement=0.3, gain=-30)] * 4
    threshold = fit_threshold(good + bad)
    assert threshold.logprob is None
    assert threshold.agreement is not None
    assert 0.3 < threshold.agreement < 0.8


def test_answers_without_log_probabilities_do_not_stop_the_others_from_being_judged_by_them() -> (
    None
):
    good = [Sign(mean_logprob=-0.1 - i / 100, agreement=0.9, gain=20) for i in range(8)]
    looped = [Sign(mean_logprob=None, agreement=0.9, gain=-25)] * 4
    threshold = fit_threshold(good + looped)
    assert threshold.logprob == -0.17
    assert (threshold.gain, threshold.sure) == (160, 8)


signs = st.builds(
    Sign,
    mean_logprob=st.floats(-5, 0),
    agreement=st.floats(0, 1),
    gain=st.floats(-50, 50),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(signs, max_size=12))
def test_the_threshold_wins_at_least_what_any_other_one_would(given_signs: list[Sign]) -> None:
    threshold = fit_threshold(given_signs)
    for least in product(given_signs, repeat=2):
        other = Threshold(
            logprob=least[0].mean_logprob, agreement=least[1].agreement, gain=0, sure=0, of=0
        )
        won = sum(sign.gain for sign in given_signs if is_sure(sign, other))
        assert threshold.gain >= max(0.0, won) - 1e-6
    kept = [sign for sign in given_signs if is_sure(sign, threshold)]
    assert len(kept) == threshold.sure
    random.Random(0).shuffle(given_signs)
    assert fit_threshold(given_signs).logprob == threshold.logprob
