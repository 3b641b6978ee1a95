"""`auto` follows the size of the data; what was asked for is kept."""

from itertools import pairwise
from pathlib import Path

import pytest

from modelserver.training.order import Order
from modelserver.training.recipe import choose_recipe, rate_at


def order(method: str = "supervised", **hyperparameters: object) -> Order:
    return Order(
        folder=Path(),
        job_id="j",
        base="b",
        data_dir=Path(),
        method=method,
        hyperparameters=hyperparameters,
        seed=0,
        training_file=Path(),
        validation_file=None,
    )


@pytest.mark.parametrize(
    ("examples", "n_epochs", "batch_size"),
    [(10, 10, 4), (50, 10, 4), (150, 5, 8), (1000, 2, 8), (100_000, 2, 16)],
)
def test_auto_gives_small_sets_more_epochs(examples: int, n_epochs: int, batch_size: int) -> None:
    recipe = choose_recipe(order(n_epochs="auto"), examples=examples, parameters=135_000_000)
    assert (recipe.n_epochs, recipe.batch_size) == (n_epochs, batch_size)


def test_what_was_asked_for_is_kept() -> None:
    asked = order(n_epochs=7, batch_size=2, learning_rate_multiplier=0.5, beta=0.3)
    recipe = choose_recipe(asked, examples=1000, parameters=135_000_000)
    assert (recipe.n_epochs, recipe.batch_size, recipe.beta) == (7, 2, 0.3)
    assert recipe.learning_rate == pytest.approx(0.5e-3)


def test_larger_models_and_preferences_learn_in_smaller_steps() -> None:
    small, large = (
        choose_recipe(order(), examples=100, parameters=count).learning_rate
        for count in (135_000_000, 7_000_000_000)
    )
    dpo = choose_recipe(order("dpo"), examples=100, parameters=135_000_000).learning_rate
    assert large < small
    assert dpo < small


def test_the_rate_warms_up_and_comes_down_to_a_tenth() -> None:
    rates = [rate_at(step, 100, 1.0) for step in range(100)]
    assert rates[0] < rates[4] == max(rates) == 1.0
    assert all(later <= earlier for earlier, later in pairwise(rates[4:]))
    assert rates[-1] == pytest.approx(0.1, abs=0.01)
